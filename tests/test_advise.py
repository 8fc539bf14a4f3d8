"""Advice: candidates from the registry, measured and weighed; what is said of columns; what stays the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.advice.candidates import candidates_for, mapped_by
from tfnorm.advice.distribution import distribution_of
from tfnorm.advice.looks import told_of
from tfnorm.advice.measures import MEASURES, measured
from tfnorm.advice.scoring import ranking
from tfnorm.advice.weights import LEAVING, MODELS, REFERENCE, weights_for
from tfnorm.maps import Map
from tfnorm.statistics import Moments
from tfnorm.techniques import TECHNIQUES, parse
from tfnorm.techniques.core import technique

ROWS = 3000


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def columns(generator: np.random.Generator) -> dict[str, np.ndarray]:
    normal = generator.normal(50, 3, ROWS)
    return {
        "normal": normal,
        "income": np.exp(generator.normal(10, 1.2, ROWS)),
        "glitch": np.append(generator.gamma(2, 5, ROWS - 1), 1e4),
        "zeros": np.where(generator.random(ROWS) < 0.9, 0.0, generator.exponential(3, ROWS)),
        "missing": np.where(generator.random(ROWS) < 0.3, np.nan, normal),
    }


def best_of(x: np.ndarray, **kwargs: Any) -> str:
    return tfnorm.advise({"x": x}, **kwargs)["x"].technique


# No rule per technique.


def test_a_technique_that_is_added_is_a_candidate_and_may_win(generator: np.random.Generator) -> None:
    def miracle(moments: Moments) -> Map:
        """Standard, but with nothing to understand: no numbers are counted."""
        return parse("standard")[0].solve({Moments: moments, tfnorm_extremes: extremes_of(moments)})

    from tfnorm.statistics import Extremes as tfnorm_extremes

    def extremes_of(moments: Moments) -> Any:
        ends = np.array([-1e9]), np.array([1e9])
        zero = np.zeros(1)
        return tfnorm_extremes(ends[0], zero, ends[1], zero)

    miracle.__annotations__ = {"moments": Moments, "return": Map}
    technique(miracle)
    try:
        ranked = tfnorm.advise({"x": generator.normal(5, 2, ROWS)})["x"].ranked
        found = {one.technique: one.score for one in ranked}
        margin = weights_for("mlp", None)[LEAVING]  # of the reference alone nothing is asked for being left
        assert found["miracle"] == pytest.approx(found[REFERENCE] + margin, rel=1e-6)
    finally:
        del TECHNIQUES["miracle"]
    assert "miracle" not in {one.technique for one in tfnorm.advise({"x": generator.normal(5, 2, 99)})["x"].ranked}


def test_no_file_of_advice_asks_for_a_technique_by_name() -> None:
    folder = Path(tfnorm.__file__).parent / "advice"
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in TECHNIQUES:
            assert f'technique == "{name}"' not in text
            assert f'name == "{name}"' not in text


@pytest.mark.parametrize(
    "choice", ["standard", "log1p, standard", "quantile(output='normal')", "yeo_johnson, standard"]
)
def test_what_is_measured_is_what_comes_out(choice: str, generator: np.random.Generator) -> None:
    """Measures on the pushed sketch are those of the transformed data."""
    x = np.exp(generator.normal(1, 0.7, 30_000))
    profile = tfnorm.scan({"x": x})
    mapped = mapped_by(distribution_of(profile["x"]), parse(choice), None)
    assert mapped is not None
    y = tfnorm.fit(profile, choice).transform({"x": x})["x"]
    assert mapped.mean[0] == pytest.approx(y.mean(), abs=0.002)
    assert mapped.std[0] == pytest.approx(y.std(), rel=0.01)  # the outermost cell is wide
    skewness = ((y - y.mean()) ** 3).mean() / y.std() ** 3
    assert measured(mapped)["skewed"] == pytest.approx(np.log1p(abs(skewness)), abs=0.02)
    assert mapped.quantile(0.05, 0.95)[:, 0] == pytest.approx(np.quantile(y, [0.05, 0.95]), abs=0.01)
    near = np.mean([np.mean(np.abs(y - one) < 0.01) for one in y[:2000]])
    assert measured(mapped)["tied"] == pytest.approx(near, abs=0.01)


def test_measures_start_at_nothing(generator: np.random.Generator) -> None:
    profile = tfnorm.scan({"x": generator.normal(0, 1, 50_000)})
    mapped = mapped_by(distribution_of(profile["x"]), parse("standard"), None)
    assert mapped is not None
    found = measured(mapped)
    assert set(found) == set(MEASURES)
    free = {
        name: value
        for name, value in found.items()
        if name not in ("complexity", "farthest", "tied", "tailed", "skewed")
    }
    assert max(free.values()) < 0.01


def test_what_dies_is_seen(generator: np.random.Generator) -> None:
    """Values that differ by less than what a power leaves of them come out as one: nothing could be learned from that."""
    x = generator.normal(1018, 7, 26_000)
    ranked = {one.technique: one for one in tfnorm.advise({"x": x})["x"].ranked}
    dead = [one for one in ranked.values() if one.measures["narrow"] >= 20 and one.measures["tied"] == 1]
    assert all(one.score > 1.5 * ranked["standard"].score for one in dead)


# Which one.


def test_candidates_that_cannot_take_the_values_are_none(generator: np.random.Generator) -> None:
    ranked = {one.technique for one in tfnorm.advise({"x": generator.normal(0, 1, ROWS)})["x"].ranked}
    assert not {"log1p", "sqrt", "box_cox"} & ranked
    assert {"standard", "minmax", "quantile"} <= ranked


def test_one_glitch_rules_minmax_out(generator: np.random.Generator) -> None:
    x = columns(generator)["glitch"]
    column = tfnorm.advise({"x": x})["x"]
    assert "minmax" not in column.technique
    assert any("deviations from the median" in words for words in column.evidence)
    places = [one.technique for one in column.ranked]
    assert min(places.index(name) for name in ("minmax", "maxabs", "standard", "identity")) > 4


def test_trees_need_none(generator: np.random.Generator) -> None:
    advice = tfnorm.advise(columns(generator), "trees")
    assert {advice.choice[name] for name in ("normal", "income", "missing")} == {"identity"}
    assert any("none is needed" in finding for finding in advice.findings)


def test_pixels_keep_their_fixed_scale(generator: np.random.Generator) -> None:
    images = generator.integers(0, 200, (50, 8, 8, 3)).astype(np.uint8)
    column = tfnorm.advise(images)["x"]
    assert "rescale" in {one.technique for one in column.ranked}
    assert any("bounded by design (0 to 255)" in words for words in column.warnings)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gets_advice(model: str, generator: np.random.Generator) -> None:
    advice = tfnorm.advise(columns(generator), model)
    assert advice.model == model
    assert set(advice.choice) == set(columns(generator))
    for column in advice.columns.values():
        scores = [one.score for one in column.ranked]
        assert scores == sorted(scores)
        assert all(score >= 0 for score in scores)
    tfnorm.fit(columns(generator), advice.choice)


def test_the_reference_is_left_for_a_clear_gain_only(generator: np.random.Generator) -> None:
    """Where it is kept by the margin, that is said, with what would have been gained."""
    weights = weights_for("mlp", None)
    seen = 0
    for shape in (0.5, 1.0, 2.0, 4.0):
        column = tfnorm.advise({"x": generator.gamma(shape, 3, ROWS)})["x"]
        reference = next(one for one in column.ranked if one.technique == REFERENCE)
        others = [one for one in column.ranked if one is not reference]
        gain = reference.score - min(one.score for one in others) + weights[LEAVING]
        assert (column.technique == REFERENCE) == (gain <= weights[LEAVING])
        kept = any("would gain little" in words for words in column.evidence)
        assert kept == (1e-3 <= gain <= weights[LEAVING])
        seen += kept
    assert seen


def test_weights_know_whether_a_target_is_named() -> None:
    assert weights_for("mlp", None)[LEAVING] > weights_for("mlp", None, told=True, named=True).get(LEAVING, 0.0)
    assert LEAVING not in weights_for("trees", None)
    assert LEAVING not in weights_for("knn", None)


# What stays the same.


def test_a_profile_gets_the_advice_of_its_source(generator: np.random.Generator) -> None:
    data = columns(generator)
    assert tfnorm.advise(tfnorm.scan(data)).to_dict() == tfnorm.advise(data).to_dict()


@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1.0, 300.0), (0.001, -5.0)])
def test_units_do_not_change_the_order_of_scale_free_techniques(
    factor: float, shift: float, generator: np.random.Generator
) -> None:
    free = (
        "standard",
        "minmax",
        "minmax(low=-1)",
        "robust",
        "mean_range",
        "winsorize, standard",
        "gaussianize",
        "quantile",
    )
    x = generator.gamma(3, 1, ROWS)

    def order(values: np.ndarray) -> list[str]:
        return [one.technique for one in tfnorm.advise({"x": values})["x"].ranked if one.technique in free]

    assert order(x * factor + shift) == order(x)


def test_a_million_away_is_advised_alike(generator: np.random.Generator) -> None:
    x = generator.normal(0, 1, ROWS)
    ranked = {one.technique: one for one in tfnorm.advise({"x": x + 1e9})["x"].ranked}
    near = {one.technique: one for one in tfnorm.advise({"x": x})["x"].ranked}
    assert ranked["standard"].score == pytest.approx(near["standard"].score, abs=0.01)
    assert ranked["identity"].score > near["identity"].score


def test_auto_is_what_is_advised(generator: np.random.Generator) -> None:
    data = columns(generator)
    advice = tfnorm.advise(data)
    auto, said = tfnorm.fit(data, "auto"), tfnorm.fit(data, advice.choice)
    assert auto.choice == said.choice == {name: str(one) for name, one in auto.choice.items()}
    assert auto.fingerprint == said.fingerprint
    for name in data:
        np.testing.assert_array_equal(auto.transform(data)[name], said.transform(data)[name])
    for other in (tfnorm.fit(tfnorm.scan(data), "auto"), tfnorm.fit((batch for batch in [data]), "auto")):
        assert other.choice == auto.choice  # solved on the sketch, where the data cannot be read again
        for name in data:
            np.testing.assert_allclose(other.transform(data)[name], auto.transform(data)[name], rtol=1e-9, atol=1e-9)


def test_auto_for_one_column(generator: np.random.Generator) -> None:
    data = columns(generator)
    fitted = tfnorm.fit(data, {"income": "auto", "normal": "minmax"})
    assert fitted.choice == {"normal": "minmax", "income": tfnorm.advise({"income": data["income"]}).choice["income"]}
    with pytest.raises(tfnorm.ChoiceError, match="only once"):
        tfnorm.fit((batch for batch in [data]), {"income": "auto", "normal": "minmax"})


def test_auto_with_policies_and_exact(generator: np.random.Generator) -> None:
    data = columns(generator)
    fitted = tfnorm.fit(data, "auto", missing=0, out_of_range="clip", exact=True)
    assert not np.isnan(fitted.transform(data)["missing"]).any()
    bare = tfnorm.fit(data["normal"][:, None], "auto")
    assert list(bare.choice) == ["x"]


# What is said.


def test_measures_and_evidence_are_told(generator: np.random.Generator) -> None:
    column = tfnorm.advise(columns(generator))["income"]
    assert 1 <= len(column.evidence) <= 3
    assert "skewness" in column.evidence[0] or "median" in column.evidence[0]
    assert "without the outermost" in column.would_change or "for " in column.would_change or not column.would_change


def test_repr_html_and_dict(generator: np.random.Generator) -> None:
    data = columns(generator) | {"<b>&": generator.normal(0, 1, ROWS)}
    advice = tfnorm.advise(data)
    text = repr(advice)
    assert text.splitlines()[0] == "advice on 6 columns for model mlp"
    assert all(name in text for name in data)
    markup = advice._repr_html_()
    assert "<b>" not in markup
    assert "&lt;b&gt;" in markup
    said = json.loads(json.dumps(advice.to_dict(), allow_nan=False))
    assert said["columns"]["income"]["technique"] == advice.choice["income"]


def test_neither_tensorflow_nor_keras_is_loaded() -> None:
    code = (
        "import sys, tfnorm, numpy as np; a = tfnorm.advise({'x': np.arange(99.0) ** 2, 'y': np.arange(99.0)}, target='y');"
        "repr(a); a.plan(); tfnorm.fit({'x': np.arange(99.0)}, 'auto');"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Errors.


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"model": "forest"}, "model must be one of"),
        ({"activation": 3}, "activation must be"),
        ({"target": "prise"}, 'Did you mean "price"'),
        ({"target": 3}, "target must be the name"),
    ],
)
def test_errors(kwargs: dict[str, Any], match: str) -> None:
    data = {"size": np.arange(9.0), "price": np.arange(9.0)}
    with pytest.raises(tfnorm.ChoiceError, match=match):
        tfnorm.advise(data, **kwargs)
    if "model" in kwargs:
        with pytest.raises(tfnorm.ChoiceError, match=match):
            weights_for(**kwargs, activation=None)


def test_no_numbers_at_all() -> None:
    with pytest.raises(tfnorm.ChoiceError, match="no column of numbers"):
        tfnorm.advise({"name": np.array(["a", "b"])})
    advice = tfnorm.advise({"x": np.array([np.nan, np.nan]), "y": np.array([1.0, 2.0])})
    assert "no value is there" in advice["x"].warnings[0]
    tfnorm.fit({"x": np.array([np.nan, np.nan]), "y": np.array([1.0, 2.0])}, "auto")


def test_told_of_knows_what_tells(generator: np.random.Generator) -> None:
    x = generator.normal(0, 1, ROWS)
    assert told_of(np.exp(x), -x) > 0.99
    assert told_of((x > 0).astype(float), x) > 0.97
    assert told_of(np.where(x > 0, "yes", "no"), x) > 0.97
    assert told_of(generator.normal(0, 1, ROWS), x) < 0.05
    assert told_of(x + generator.normal(0, 1, ROWS), x) < 0.7


def test_ranking_of_nothing_is_empty() -> None:
    profile = tfnorm.scan({"x": np.array([np.nan])})
    candidates = list(candidates_for(profile["x"].column, None))
    assert ranking(distribution_of(profile["x"]), candidates, None, weights_for("mlp", None)) == ()
