"""The report as a page: what is on it, from which values, and that it needs nothing but itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.cli import main
from tfnorm.errors import ChoiceError
from tfnorm.looks import NO_SKETCH
from tfnorm.profile import ColumnProfile
from tfnorm.reporting.building import page_of
from tfnorm.reporting.model import Entry
from tfnorm.reporting.reading import kind_of

RNG = np.random.default_rng(3)
DATA = {
    "age": RNG.normal(40, 9, 2000),
    "fare": RNG.lognormal(3, 1, 2000),
    "glitch": np.append(RNG.random(1999), 900.0),
    "gaps": np.where(RNG.random(2000) < 0.6, np.nan, RNG.random(2000)),
    "same": np.full(2000, 7.0),
    "zeros": np.where(RNG.random(2000) < 0.9, 0.0, 1.0 + RNG.random(2000)),
}
CHOICE = dict.fromkeys(DATA, "standard") | {"fare": "log1p, standard", "glitch": "minmax"}
FITTED = tfnorm.fit(tfnorm.scan(DATA), CHOICE, missing={"gaps": 0}, out_of_range={"age": "clip"})


@dataclass
class Candidate:
    technique: str
    score: float
    measures: dict[str, float]


@dataclass
class ColumnAdvice:
    name: str
    ranked: tuple[Candidate, ...]
    evidence: tuple[str, ...]
    would_change: str
    warnings: tuple[str, ...]


@dataclass
class Advice:
    columns: dict[str, ColumnAdvice]
    model: str
    activation: str | None
    findings: tuple[str, ...]


@dataclass
class ColumnDrift:
    name: str
    severity: str
    findings: tuple[str, ...]
    numbers: dict[str, float]
    profile: ColumnProfile | None = None


@dataclass
class Drift:
    columns: tuple[ColumnDrift, ...]
    rows: int
    rows_of_fit: int
    source: str
    findings: tuple[str, ...]


@dataclass
class Contender:
    technique: str
    losses: np.ndarray
    final: np.ndarray
    steps_to: np.ndarray
    diverged: np.ndarray
    condition: float


@dataclass
class Comparison:
    target: str
    model: str
    metric: str
    marks: np.ndarray
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    rows: int
    validation_rows: int
    budget: float | None
    verdict: str
    extra: dict[str, Any] = field(default_factory=dict)


def advice() -> Advice:
    ranked = (Candidate("robust", 0.2, {"tails": 0.1, "<b>": 2.0}), Candidate("minmax", 1.5, {"tails": 9.0}))
    one = ColumnAdvice("glitch", ranked, ("1 of 2,000 values is 900",), "without it, minmax", ("heavy <tails>",))
    return Advice({"glitch": one}, "mlp", None, ("same: constant",))


def drift(*, profile: bool = True) -> Drift:
    new = tfnorm.scan({"age": DATA["age"] + 20})["age"] if profile else None
    moved = ColumnDrift(
        "age", "severe", ("the median moved by 2.2 deviations",), {"psi": 1.3, "shift": 2.2, "odd": np.nan}, new
    )
    return Drift(
        (moved, ColumnDrift("fare", "none", (), {"psi": 0.0})), 2000, 2000, "new/*.parquet", ("new column: x",)
    )


def comparison() -> Comparison:
    marks = np.array([0, 10, 100])
    good = Contender(
        "standard", np.array([[1, 0.5, 0.1]] * 3), np.full(3, 0.1), np.array([10, 10, np.nan]), np.zeros(3, bool), 5.0
    )
    bad = Contender(
        "none", np.array([[1, 8, np.nan]] * 3), np.full(3, np.nan), np.full(3, np.nan), np.ones(3, bool), np.inf
    )
    return Comparison("delay", "mlp", "squared error", marks, (good, bad), (0, 1, 2), 100, 20, None, "standard is best")


def as_json(value: Any) -> Any:
    """As the commands print it."""
    if hasattr(value, "__dict__"):
        return {name: as_json(one) for name, one in vars(value).items() if not isinstance(one, ColumnProfile)}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(one) for one in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def entry(values: Any, name: str) -> Entry:
    page = page_of(values if isinstance(values, list) else [values])
    return next(one for one in page.entries if one.name == name)


def keys(one: Entry) -> set[str]:
    return {flag.key for flag in one.flags}


def test_what_was_read_is_told() -> None:
    page = tfnorm.report(FITTED).html
    for said in (
        "2,000",
        "mapping of arrays",
        FITTED.fingerprint,
        FITTED.profile.provenance[0].fingerprint,
        tfnorm.__version__,
    ):
        assert said in page


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("age", set()),
        ("glitch", {"squeezed", "outliers"}),
        ("gaps", {"missing"}),
        ("same", {"constant"}),
        ("zeros", {"zeros"}),
    ],
)
def test_columns_at_risk_are_found(name: str, flags: set[str]) -> None:
    assert flags <= keys(entry(FITTED, name))
    assert bool(keys(entry(FITTED, name))) == bool(flags)


def test_the_worst_comes_first() -> None:
    page = tfnorm.report(FITTED).html
    names = re.findall(r'<span class="name"><bdi>(.*?)</bdi>', page)
    assert names[0] == "glitch"
    assert set(names[-2:]) == {"age", "fare"}


def test_a_column_says_what_is_done_and_why() -> None:
    parts = {part.title: part for part in entry([FITTED, advice()], "glitch").parts}
    assert parts["What is done"].lines[0].startswith("minmax: (x - ")
    why = parts["Why: the advice"]
    assert "1 of 2,000 values is 900" in why.lines
    assert "What would change it: without it, minmax" in why.lines
    assert why.table is not None
    assert why.table.rows[0] == ("robust", "0.200", "0.100", "2.000")
    assert {"advice", "other advice"} <= keys(entry([FITTED, advice()], "glitch"))


def test_numbers_are_before_and_after() -> None:
    table = next(part.table for part in entry(FITTED, "age").parts if part.title == "Numbers")
    assert table is not None
    said = {row[0]: row[1:] for row in table.rows}
    assert said["mean"] == (f"{DATA['age'].mean():.5g}", "0") or abs(float(said["mean"][1])) < 1e-9
    assert said["deviation"][1] == "1"
    assert said["values"] == ("2,000", "2,000")


def test_policies_and_what_fired_are_told() -> None:
    fitted = tfnorm.fit(FITTED.profile, CHOICE, missing={"gaps": 0}, out_of_range={"age": "clip"})
    assert "Policy missing: 0." in entry(fitted, "gaps").parts[2].lines
    fitted.transform({"age": np.array([1e6, -1e6, 40.0])})
    one = entry(fitted, "age")
    assert "policy" in keys(one)
    assert "Policy out_of_range fired on 2 values of what was transformed." in one.parts[2].lines


def test_what_does_not_come_back_is_told() -> None:
    fitted = tfnorm.fit(tfnorm.scan({"v": RNG.normal(size=(30, 3))}), "l2")
    assert "one way" in keys(entry(fitted, "v"))


def test_a_fit_without_a_sketch_says_so() -> None:
    page = tfnorm.report(tfnorm.fit(DATA, "standard")).html
    assert NO_SKETCH in page
    assert NO_SKETCH not in tfnorm.report(FITTED).html


@pytest.mark.parametrize("as_text", [False, True])
def test_drift_is_shown(as_text: bool) -> None:
    found: Any = as_json(drift()) if as_text else drift()
    one = entry([FITTED, found], "age")
    part = next(part for part in one.parts if part.title == "New data")
    assert part.lines == ("Drift: severe.", "the median moved by 2.2 deviations")
    assert bool(part.drawings) != as_text  # JSON has the numbers only
    assert one.flags[0].key == "drift"
    assert one.order["shift"] == 2.2
    page = tfnorm.report([FITTED, found]).html
    assert "1 of 2 columns have drifted" in page
    assert "new column: x" in page
    assert "odd" not in page


@pytest.mark.parametrize("as_text", [False, True])
def test_a_comparison_is_shown(as_text: bool) -> None:
    found: Any = json.loads(json.dumps(as_json(comparison()))) if as_text else comparison()
    report = tfnorm.report(found)
    assert report.title == "Comparison"
    for said in (
        "standard is best",
        "3 of 3",
        "singular",
        'aria-label="squared error by training step',
        "20 rows held out",
    ):
        assert said in report.html
    assert 'id="list"' not in report.html


@pytest.mark.parametrize("value", [drift(), drift(profile=False), advice(), comparison(), FITTED.profile])
def test_each_value_has_a_report(value: Any) -> None:
    page = tfnorm.report(value).html
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_values_are_known_by_what_they_have() -> None:
    kinds = [
        kind_of(one)
        for one in (drift(), as_json(drift()), comparison(), as_json(comparison()), advice(), as_json(advice()))
    ]
    assert kinds == ["drift", "drift", "comparison", "comparison", "advice", "advice"]
    assert kind_of({"a": 1}) == kind_of(3) == ""


def test_two_fits_are_shown_side_by_side() -> None:
    other = {**DATA, "age": DATA["age"] + 5, "new": DATA["fare"]}
    del other["zeros"]
    second = tfnorm.fit(tfnorm.scan(other), dict.fromkeys(other, "standard"))
    page = page_of([FITTED, second], ["a.json", "b.json"])
    flags = {one.name: keys(one) for one in page.entries}
    assert flags["age"] == {"moved"}
    assert flags["fare"] == {"technique"}
    assert flags["new"] == {"new"}
    assert flags["zeros"] == {"gone"}
    assert flags["same"] == set()
    assert "a.json" in tfnorm.report([FITTED, second], names=["a.json", "b.json"]).html
    same = page_of([FITTED, FITTED])
    assert "Both fits do the same" in same.parts[0].lines[0]
    assert not any(one.flags for one in same.entries)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "got 0 fits"),
        ([3], "got int"),
        ([{"a": 1}], "got dict"),
        ([FITTED] * 3, "got 3 fits and profiles"),
        ([drift(), drift()], "two values are a drift"),
    ],
)
def test_what_cannot_be_reported_is_said(values: list[Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        tfnorm.report(values)


def test_several_values_go_in_one_list() -> None:
    with pytest.raises(ChoiceError, match=r"got Drift\. Several values go in one list"):
        tfnorm.report(FITTED, drift())
    with pytest.raises(ChoiceError, match=r"tfnorm\.load opens what was saved"):
        tfnorm.report("norm.json")
    with pytest.raises(ChoiceError, match=r"tfnorm\.load opens what was saved"):
        tfnorm.check("norm.json", {"x": [1.0]})  # type: ignore[arg-type]


EVIL = ("<script>alert(1)</script>", "</script><b>", "\" onload='x'", "{{7*7}}", "a\u202eb", "c\nd", "", "<!--", "]]>")


class Parser(HTMLParser):
    """Counts elements, and sees which attributes name something outside."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.outside += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action", "srcset", "data")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)


def parsed(page: str) -> Parser:
    parser = Parser()
    parser.feed(page)
    return parser


def test_names_are_escaped_everywhere() -> None:
    evil = tfnorm.fit(tfnorm.scan({name: RNG.normal(size=30) for name in EVIL}), "standard")
    twist = {
        "columns": [{"name": "<img src=x>", "severity": "<i>", "findings": ["<u>x"], "numbers": {"<s>": 1}}],
        "rows_of_fit": 3,
        "rows": "<q>",
        "source": "</style>",
        "findings": ["<a href=x>"],
    }
    page = tfnorm.report([evil, twist, advice(), as_json(comparison())]).html
    tags = parsed(page).tags
    assert tags["script"] == 2
    assert not {"img", "i", "u", "s", "q"} & set(tags)
    assert "{{7*7}}" in page
    assert "\u202e" not in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert "<" not in data[1]
    assert json.loads(data[1])["packed"] == []


def test_it_loads_nothing() -> None:
    page = tfnorm.report([FITTED, drift(), comparison(), advice()]).html
    links = parsed(page).outside
    assert all(re.fullmatch(r"a href=#\w+|link href=data:,", link) for link in links), links
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, which nobody loads
    assert "@import" not in page
    assert not re.search(r"url\(", page)
    assert "default-src 'none'" in page


def test_the_same_values_give_the_same_page() -> None:
    assert tfnorm.report([FITTED, drift()]).html == tfnorm.report([FITTED, drift()]).html


def test_two_hundred_columns_are_small() -> None:
    shapes = [RNG.normal, RNG.lognormal, RNG.standard_cauchy, RNG.random]
    data = {f"feature_{i}": shapes[i % 4](size=3000) for i in range(200)}
    page = tfnorm.report(tfnorm.fit(tfnorm.scan(data), "standard")).html
    assert page.count("<details") == 200
    assert len(page.encode()) < 1e6


def test_it_is_saved_whole_and_shown_in_notebooks(tmp_path: Path) -> None:
    report = tfnorm.report(FITTED, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report.html
    assert "report.save" in repr(report)
    assert report._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert "<script" not in report._repr_html_()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FITTED.save("norm.json")
    FITTED.profile.save("profile.json")
    Path("drift.json").write_text(json.dumps(as_json(drift())))
    assert main(["report", "norm.json"]) == 0
    said = capsys.readouterr().err
    assert "wrote report.html: Fit of 6 columns, 0." in said
    assert main(["report", "norm.json"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["report", "norm.json", "drift.json", "-o", "r.html"]) == 0
    assert "have drifted" in Path("r.html").read_text(encoding="utf-8")
    assert main(["report", "norm.json", "profile.json", "-o", "diff.html"]) == 0
    assert "profile.json" in Path("diff.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["report", "norm.json", "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "x.json: not JSON"),
        ("[1]", "x.json: holds a JSON list"),
        ('{"format": "tfnorm"}', "x.json: version"),
        ("{}", "x.json: holds nothing that fit, scan"),
    ],
)
def test_the_command_says_what_is_wrong(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(text)
    assert main(["report", str(tmp_path / "x.json"), "-o", str(tmp_path / "r.html")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_it_loads_neither_tensorflow_nor_keras_nor_matplotlib(tmp_path: Path) -> None:
    FITTED.save(tmp_path / "norm.json")
    code = (
        "import sys; from tfnorm.cli import main; "
        f"code = main(['report', {str(tmp_path / 'norm.json')!r}, '-o', {str(tmp_path / 'r.html')!r}]); "
        "assert code == 0; assert not {'tensorflow', 'keras', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_running_statistics_are_reported_as_they_stand() -> None:
    running = tfnorm.Running("standard")
    running.update({"x": RNG.normal(size=100)})
    assert tfnorm.report(running).title == "Fit of 1 column"


def test_vectors_times_and_arrays_are_reported() -> None:
    days = (np.datetime64("2013-01-01") + np.arange(300)).astype("datetime64[s]")
    data = {"t": days, "v": RNG.normal(size=(300, 4)), "i": RNG.integers(0, 255, (300, 8, 8, 3)).astype(np.uint8)}
    page = tfnorm.report(tfnorm.fit(tfnorm.scan(data, unit="s"), "standard")).html
    assert "2013-10-" in page
    assert "(4 features)" in page


def test_an_array_is_shown_feature_by_feature() -> None:
    values = RNG.normal(size=(500, 3)) * [1, 10, 100]
    fitted = tfnorm.fit(tfnorm.scan(values), "minmax")
    page = page_of([fitted])
    assert page.title == "Fit of 3 features"
    assert [one.name for one in page.entries] == ["x[0]", "x[1]", "x[2]"]
    assert [one.parts[2].lines[0].split()[-1] for one in page.entries] == [
        f"{np.ptp(values[:, j]):.5g}" for j in range(3)
    ]
    assert page_of([fitted.profile]).title == "Profile of 3 features"
