"""What a comparison is made of, without a network: the draw, the split, the fits, the numbers and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import tfnorm
from tfnorm.comparing.clock import Clock
from tfnorm.comparing.entrants import condition, entrant, named_choices
from tfnorm.comparing.features import chosen_features
from tfnorm.comparing.runs import marks_of
from tfnorm.comparing.samples import draw, read_target, split, target_column
from tfnorm.comparing.values import Contender
from tfnorm.comparing.verdict import differs, diverged, level_of, ranked, with_steps, words
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources import open_source

DIABETES = load_diabetes(as_frame=True, scaled=False).frame
CANCER = load_breast_cancer(as_frame=True).frame


class TestDraw:
    def test_all_rows_where_there_is_room(self) -> None:
        sample, places, total = draw(open_source(DIABETES), ["bmi", "target"], 1000, 0)
        assert total == len(DIABETES)
        assert places.tolist() == list(range(total))
        np.testing.assert_array_equal(sample["bmi"], DIABETES["bmi"])

    def test_the_same_rows_however_the_source_is_cut(self) -> None:
        values = np.arange(50_000.0)
        whole = draw(open_source({"a": values}), ["a"], 700, 3)
        parts = draw(open_source(lambda: ({"a": part} for part in np.array_split(values, 37))), ["a"], 700, 3)
        np.testing.assert_array_equal(whole[0]["a"], parts[0]["a"])
        np.testing.assert_array_equal(whole[0]["a"], whole[1])
        assert len(whole[1]) == 700

    def test_evenly(self) -> None:
        _, places, _ = draw(open_source({"a": np.arange(40_000.0)}), ["a"], 8000, 0)
        counts = np.histogram(places, 8, (0, 40_000))[0]
        assert (abs(counts - 1000) < 5 * np.sqrt(1000)).all()

    def test_another_seed_draws_others(self) -> None:
        source = open_source({"a": np.arange(1000.0)})
        assert draw(source, ["a"], 100, 0)[1].tolist() != draw(source, ["a"], 100, 1)[1].tolist()


class TestTarget:
    @pytest.mark.parametrize(
        ("values", "classes"),
        [
            (np.array(["b", "a", "b", None] * 5, object), ("a", "b")),
            (np.array([True, False] * 5), ("0", "1")),
            (np.array([3, 1, 3, 1, 2] * 9), ("1", "2", "3")),
            (np.array([0.5, 1.5, 2.5] * 9), ()),
            (np.arange(100), ()),
            (np.array([1.0, 2.0, np.nan] * 9), ("1", "2")),
        ],
    )
    def test_what_the_values_look_like(self, values: np.ndarray, classes: tuple[str, ...]) -> None:
        assert read_target("t", values, None).classes == classes

    def test_what_is_said_wins(self) -> None:
        assert read_target("t", np.array([3, 1, 2] * 9), "regression").classes == ()
        assert len(read_target("t", np.repeat(np.arange(30), 4), "classification").classes) == 30

    def test_missing_and_infinite_rows_are_not_known(self) -> None:
        found = read_target("t", np.array([0.5, np.nan, np.inf, 2.25]), None)
        assert found.known.tolist() == [True, False, False, True]

    @pytest.mark.parametrize(
        ("values", "task", "message"),
        [
            (np.ones(9), None, "classes that differ, and all are 1. Choose another"),
            (np.array(["a"] * 9, object), None, "two classes or more"),
            (np.full(9, 0.5), None, "numbers that differ, and all are 0.5. Choose another"),
            (np.full(9, np.nan), None, "numbers that differ, and all are missing or infinite"),
            (np.arange(9) + 0.5, "classification", "whole numbers, booleans or text, got 0.5. Leave task out"),
            (np.array(list("abcdefgh"), object), None, "too many to learn"),
            (np.array(["a", "b"] * 5, object), "regression", "regression needs numbers"),
            (np.ones((4, 2)), None, "one value a row"),
        ],
    )
    def test_what_cannot_be_learned(self, values: np.ndarray, task: str | None, message: str) -> None:
        with pytest.raises((DataError, ChoiceError), match=message):
            read_target("t", values, task)

    def test_a_name_that_is_not_there(self) -> None:
        with pytest.raises(ChoiceError, match='Did you mean "target"'):
            target_column(open_source(DIABETES), "targte")

    def test_a_vector_is_no_target(self) -> None:
        with pytest.raises(ChoiceError, match="expected one number"):
            target_column(open_source({"v": np.ones((5, 3))}), "v")


def diabetes_split(frame: pd.DataFrame, seed: int = 0):
    features = {name: frame[name].to_numpy() for name in frame.columns if name != "target"}
    features["row"] = np.arange(len(frame))
    return split(features, read_target("target", frame["target"].to_numpy(), None), None, 0.2, seed)


class TestSplit:
    def test_no_row_on_both_sides(self) -> None:
        parts = diabetes_split(DIABETES)
        rows = [set(part.features["row"].tolist()) for part in (parts.train, parts.validation)]
        assert not rows[0] & rows[1]
        assert rows[0] | rows[1] == set(range(len(DIABETES)))
        assert len(parts.validation) == 88

    def test_the_goal_is_standardized_by_the_training_part(self) -> None:
        parts = diabetes_split(DIABETES)
        goal = parts.train.goal.astype(np.float64)
        assert abs(goal.mean()) < 1e-6
        assert abs(goal.std() - 1) < 1e-6
        mean, std = goal.mean(), goal.std()
        raw = DIABETES["target"].to_numpy()
        train, valid = raw[parts.train.features["row"]], raw[parts.validation.features["row"]]
        np.testing.assert_allclose(parts.validation.goal[:, 0], (valid - train.mean()) / train.std(), rtol=1e-5)
        assert parts.baseline == pytest.approx(
            ((valid - train.mean()) ** 2).mean() / train.var() * std**2 + mean, rel=1e-5
        )

    def test_validation_rows_change_nothing_that_is_fitted(self) -> None:
        """Whatever stands in the held-out rows, the split and every fit are the same."""
        parts = diabetes_split(DIABETES)
        held_out = parts.validation.features["row"]
        changed = DIABETES.astype(float)
        changed.iloc[held_out, :] = 1e6 * np.random.default_rng(0).random((len(held_out), changed.shape[1]))
        others = diabetes_split(changed)
        assert others.validation.features["row"].tolist() == held_out.tolist()
        np.testing.assert_array_equal(others.train.goal, parts.train.goal)
        names = [name for name in DIABETES.columns if name != "target"]
        for name, choice in named_choices(None, open_source(DIABETES[names]).columns).items():
            one = entrant(name, choice, names, parts.train.features, None)
            other = entrant(name, choice, names, others.train.features, None)
            np.testing.assert_array_equal(
                one.features(parts.train.features, False), other.features(others.train.features, False)
            )
            if one.fitted is not None and other.fitted is not None:
                assert one.fitted.fingerprint == other.fitted.fingerprint

    def test_too_few_rows(self) -> None:
        with pytest.raises(DataError, match="too few on one side"):
            split({"a": np.ones(4)}, read_target("t", np.array([0.5, 1.5, 2.5, 3.5]), None), None, 0.1, 0)


class TestEntrants:
    def test_missing_values(self) -> None:
        """0 after normalization, the training part's mean in raw features."""
        train = {"a": np.array([1.0, 3.0, np.nan, 5.0, np.inf])}
        raw = entrant("none", {}, ["a"], train, None)
        assert raw.features(train, False)[:, 0].tolist() == [1, 3, 3, 5, 3]
        choice = named_choices("minmax(-1, 1)", open_source(train).columns)["minmax(-1, 1)"]
        assert entrant("m", choice, ["a"], train, None).features(train, False)[:, 0].tolist() == [-1, 0, 0, 1, 0]

    def test_what_a_whole_choice_does_not_name_is_passed_through(self) -> None:
        columns = open_source({"a": np.arange(3.0), "b": np.arange(3.0)}).columns
        choice = named_choices({"mine": {"a": "standard"}}, columns)["mine"]
        assert list(choice) == ["a"]
        found = entrant("mine", choice, ["a", "b"], {"a": np.arange(3.0), "b": np.arange(3.0)}, None)
        np.testing.assert_allclose(found.features({"a": np.arange(3.0), "b": np.arange(3.0)}, False)[:, 1], [0, 1, 2])

    def test_what_is_advised_takes_part(self) -> None:
        generator = np.random.default_rng(0)
        train = {"x": np.exp(generator.normal(5, 1, 400)), "z": generator.normal(size=400)}
        columns = open_source(train).columns
        choices = named_choices(["auto"], columns)
        made = entrant("auto", choices["auto"], ["x", "z"], train, None)
        assert made.choice == tfnorm.fit(train, "auto").choice
        mixed = named_choices({"mixed": {"x": "auto", "z": "minmax"}}, columns)["mixed"]
        assert entrant("mixed", mixed, ["x", "z"], train, None).choice["z"] == "minmax"

    def test_names(self) -> None:
        columns = open_source({"a": np.arange(3.0)}).columns
        assert list(named_choices(["standard", ["log1p", "minmax"], "none"], columns)) == [
            "none",
            "standard",
            "log1p, minmax",
        ]
        with pytest.raises(ChoiceError, match="twice"):
            named_choices(["standard", "standard"], columns)
        with pytest.raises(ChoiceError, match="got none"):
            named_choices([], columns)

    def test_unit_norms_are_among_the_defaults_for_vectors(self) -> None:
        digits = load_digits()
        assert "l2" in named_choices(None, open_source(digits.data).columns)
        mixed = named_choices(None, open_source({"v": digits.data, "a": digits.target}).columns)
        assert {name: str(*chain) for name, chain in mixed["l2, others standard"].items()} == {
            "v": "l2",
            "a": "standard",
        }


class TestCondition:
    @pytest.mark.parametrize("scale", [1.0, 1e3])
    def test_against_numpy(self, scale: float) -> None:
        rows = DIABETES.drop(columns="target").to_numpy(float) / scale
        whole = np.column_stack([rows, np.ones(len(rows))])
        assert condition(rows, None) == pytest.approx(np.linalg.cond(whole) ** 2, rel=1e-9)

    def test_ill_conditioned_beyond_the_matrix_itself(self) -> None:
        """Exact by fractions: of the rows (1, 1 + e), (1, 1 - e) the condition is about (1 / e)**2 * 1."""
        rows = np.array([[1 + 1e-9], [1 - 1e-9]])
        assert condition(rows, None) == pytest.approx(4e18, rel=1e-5)

    def test_singular(self) -> None:
        rows = np.random.default_rng(0).normal(size=(50, 2))
        assert condition(np.column_stack([rows, rows.sum(axis=1)]), None) == np.inf
        assert condition(np.column_stack([rows, np.full(50, 7.0)]), None) == np.inf
        assert condition(np.column_stack([rows, np.full(50, 7.0)]), np.array([True, True, False])) < 10

    def test_fewer_rows_than_features(self) -> None:
        assert condition(np.eye(3), None) == np.inf

    def test_blocks_are_as_one(self) -> None:
        rows = np.random.default_rng(0).lognormal(size=(20_000, 3))
        assert condition(rows, None) == pytest.approx(np.linalg.cond(np.column_stack([rows, np.ones(20_000)])) ** 2)


def contender(name: str, *ends: float, begin: float = 1.0, marks: int = 11) -> Contender:
    losses = np.array([np.geomspace(begin, end, marks) for end in ends])
    nothing = np.full(len(ends), np.nan)
    return Contender(name, losses, losses[:, -1], nothing, diverged(losses, 1.0), 1.0)


MARKS = np.arange(0, 101, 10)


class TestVerdict:
    def test_a_difference_within_the_spread_is_not_claimed(self) -> None:
        near, far = contender("a", 0.10, 0.12, 0.14), contender("b", 0.11, 0.13, 0.15)
        assert not differs(near, far)
        said = words((near, far), MARKS, 1.0)
        assert "within the spread" in said
        assert "higher" not in said

    def test_a_difference_beyond_it_is(self) -> None:
        said = words((contender("a", 0.10, 0.11), contender("b", 0.20, 0.21)), MARKS, 1.0)
        assert said.startswith('"a" ends lowest, at 0.105 ± 0.00707 over 2 seeds.')
        assert '"b" ends 95 % higher.' in said

    def test_one_seed_tells_nothing(self) -> None:
        assert "chance" in words((contender("a", 0.1), contender("b", 0.9)), MARKS, 1.0)

    def test_steps_to_the_level(self) -> None:
        both = [contender("a", 0.01, 0.01), contender("none", 0.1, 0.1)]
        level = level_of(both, MARKS)
        assert level == pytest.approx(0.1)
        best, raw = (with_steps(one, level, MARKS) for one in both)
        assert (best.steps, raw.steps) == (50, 100)
        assert "Raw features take 2 times the steps to the same loss (100 for 50)." in words((best, raw), MARKS, 1.0)
        slow = with_steps(contender("none", 0.2, 0.1), 0.1, MARKS)
        assert np.isnan(slow.steps)

    @pytest.mark.parametrize(
        ("losses", "astray"),
        [
            ([1, 0.5, np.nan], True),
            ([1, np.inf, 0.5], True),
            ([1, 0.5, 20], True),
            ([1e6, 1e5, 1e4], False),
            ([1, 0.1, 2], False),
        ],
    )
    def test_what_is_divergence(self, losses: list[float], astray: bool) -> None:
        assert diverged(np.array([losses]), 1.0).tolist() == [astray]

    def test_those_that_diverged_are_last(self) -> None:
        good, bad = contender("a", 0.5, 0.5), contender("b", 0.1, np.nan)
        assert [one.technique for one in ranked([bad, good])] == ["a", "b"]
        assert 'Diverged: "b" (1 of 2 seeds).' in words(ranked([bad, good]), MARKS, 1.0)
        assert words([bad], MARKS, 1.0).startswith("All diverged")

    def test_trained_too_long(self) -> None:
        losses = np.array([[1, 0.2, 0.5], [1, 0.21, 0.52]])
        rising = Contender("a", losses, losses[:, -1], np.ones(2), np.zeros(2, bool), 1.0)
        assert "Trained too long" in words((rising,), np.array([0, 5, 10]), 1.0)
        assert "after 5 steps" in words((rising,), np.array([0, 5, 10]), 1.0)

    def test_no_better_than_a_guess(self) -> None:
        assert "constant guess" in words((contender("a", 1.2, 1.3),), MARKS, 1.0)


class TestClock:
    def test_steps_are_what_the_time_pays_for(self) -> None:
        steps, seeds = Clock(100.0).plan(5, 4, step=0.001, rest=0.1)
        assert seeds == 4
        assert 3900 <= steps <= 4150  # 85 s over 20 runs, less what they take besides

    def test_seeds_are_given_up_before_runs_say_nothing(self) -> None:
        assert Clock(10.0).plan(5, 5, step=0.01, rest=0.0) == (200, 1) or Clock(10.0).plan(5, 5, 0.01, 0.0)[1] < 5
        assert Clock(0.001).plan(5, 5, step=0.01, rest=0.0) == (20, 1)

    @pytest.mark.parametrize("steps", [1, 2, 7, 100, 20_000])
    def test_marks(self, steps: int) -> None:
        marks = marks_of(steps)
        assert (marks[0], marks[-1]) == (0, steps)
        assert (steps + 1) // 2 in marks
        assert (np.diff(marks) > 0).all()
        assert len(marks) <= 62


class TestFeatures:
    def test_what_is_left_out_is_named(self) -> None:
        table = {
            "a": np.ones(3),
            "t": np.array(["x", "y", "z"]),
            "when": np.array(["2020-01-01"] * 3, "datetime64[D]"),
            "y": np.ones(3),
        }
        found = chosen_features(open_source(table), "y", None, None, False)
        assert found.names == ("a",)
        assert '"t"' in found.notes[0]
        assert '"when"' in found.notes[0]

    @pytest.mark.parametrize(
        ("table", "model", "shaped"),
        [
            ({"a": np.ones(3)}, "mlp", False),
            ({"v": np.ones((3, 5))}, "mlp", False),
            ({"i": np.ones((3, 8, 8, 1)), "a": np.ones(3)}, "cnn", True),
            ({"s": np.ones((3, 8, 2))}, "rnn", True),
        ],
    )
    def test_the_model_that_shapes_call_for(self, table: dict[str, np.ndarray], model: str, shaped: bool) -> None:
        found = chosen_features(open_source(table), "y", None, None, False)
        assert (found.model, found.shaped, len(found.names)) == (model, shaped, 1)

    def test_what_cannot_be(self) -> None:
        source = open_source({"a": np.ones(3), "t": np.array(["x"] * 3)})
        for options, message in (
            ({"columns": ["b"]}, 'column "b"'),
            ({"model": "mpl"}, 'Did you mean "mlp"'),
            ({"model": "cnn"}, "one column of images"),
            ({"columns": ["t"]}, "no column of numbers"),
        ):
            with pytest.raises(ChoiceError, match=message):
                chosen_features(source, "y", **{"columns": None, "model": None, "own": False} | options)
