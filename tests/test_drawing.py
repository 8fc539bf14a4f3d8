"""Drawings: scenes, and what is made of them."""

from __future__ import annotations

import itertools
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import tfnorm
from tfnorm import drawing
from tfnorm.drawing.axes import Axis, labels
from tfnorm.drawing.distribution import describe
from tfnorm.drawing.scene import Band, Dots, Polyline, Rectangles, Scene, Text
from tfnorm.errors import ChoiceError
from tfnorm.looks import before

RNG = np.random.default_rng(2)
VALUES = {
    "normal": RNG.normal(size=2000),
    "few": np.array([1.0, 2.0, 5.0]),
    "constant": np.full(5, 3.0),
    "none": np.full(5, np.nan),
    "tiny": np.array([5e-324, 1e-323, 0.0]),
    "huge": np.array([-1.7e308, 1.7e308, 0.0]),
    "offset": 1e9 + RNG.random(2000),
    "zeros": np.where(np.arange(2000) % 50 == 0, 1.0, 0.0),
    "infinite": np.array([np.inf, 1.0, 2.0, -np.inf]),
}


def inside(scene: Scene) -> None:
    """All marks are finite and lie in the scene; texts begin and end in it."""
    for mark in scene.marks:
        if isinstance(mark, Text):
            x, y = np.array([mark.x]), np.array([mark.y])
        elif isinstance(mark, Rectangles):
            x, y = np.concatenate([mark.x, mark.x + mark.width]), np.concatenate([mark.y, mark.y + mark.height])
        elif isinstance(mark, Band):
            x, y = np.tile(mark.x, 2), np.concatenate([mark.low, mark.high])
        else:
            assert isinstance(mark, Polyline | Dots)
            x, y = mark.x, mark.y
        assert np.isfinite(x).all()
        assert np.isfinite(y).all()
        assert ((x >= -1) & (x <= scene.width + 1)).all(), mark
        assert ((y >= -1) & (y <= scene.height + 1)).all(), mark


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("technique", ["standard", "minmax", "quantile", "signed_log"])
def test_every_column_can_be_drawn(name: str, technique: str) -> None:
    profile = tfnorm.scan({"x": VALUES[name]})
    fitted = tfnorm.fit(profile, technique, infinite="missing")
    for picture in (fitted["x"].plot(), profile["x"].plot()):
        inside(picture.scene)
        tree = ET.fromstring(picture._repr_svg_())
        assert tree.attrib["aria-label"] == picture.scene.title
        assert "nan" not in "".join(path.get("d", "") for path in tree.iter())
    bare = tfnorm.fit({"x": VALUES[name]}, "standard", infinite="missing")
    inside(bare["x"].plot().scene)


def test_before_and_after_show_the_same_rows() -> None:
    """A straight map changes no shape: the bars before and after are the same."""
    fitted = tfnorm.fit(tfnorm.scan({"x": VALUES["normal"]}), "standard")
    bars = [mark for mark in fitted["x"].plot().scene.marks if isinstance(mark, Rectangles) and len(mark.x) > 1]
    assert [mark.role for mark in bars] == ["before", "after"]
    np.testing.assert_allclose(bars[0].height, bars[1].height, atol=1)
    np.testing.assert_allclose(bars[0].x, bars[1].x, atol=0.1)


def test_a_plot_is_saved_by_the_end_of_its_name(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fitted = tfnorm.fit(tfnorm.scan({"x": VALUES["normal"]}), "signed_log")
    picture = fitted["x"].plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture._repr_png_() == (tmp_path / "x.png").read_bytes()
    fitted.profile["x"].plot(str(tmp_path / "x.svg"))
    assert ET.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")
    with pytest.raises(ChoiceError, match=r"ends in .svg or .png, got '.pdf'"):
        picture.save(tmp_path / "x.pdf")


def test_a_png_shows_what_the_svg_shows() -> None:
    pytest.importorskip("matplotlib")
    import matplotlib.image

    one = np.array([10.0]), np.array([5.0]), np.array([20.0]), np.array([10.0])
    scene = Scene(40, 20, (Rectangles("after", *one),), "a box")
    import io

    pixels = matplotlib.image.imread(io.BytesIO(drawing.png(scene, scale=1.0)))
    assert pixels.shape[:2] == (20, 40)
    blue = pixels[..., 2] - pixels[..., 0] > 0.2
    assert blue[6:14, 11:29].all()
    assert not blue[:, :9].any()
    assert not blue[:4].any()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    picture = tfnorm.scan({"x": [1.0, 2.0]})["x"].plot()
    with pytest.raises(ImportError, match=r"pip install 'tfnorm\[plot\]'"):
        picture.save("never.png")
    assert picture._repr_png_() is None
    assert picture._repr_svg_().startswith("<svg")


def test_hostile_names_do_nothing_in_svg() -> None:
    evil = '</svg><script>alert(1)</script>"\x00\u202e\n$x$'
    svg = tfnorm.fit(tfnorm.scan({evil: [1.0, 2.0]}), "standard")[evil].plot()._repr_svg_()
    assert "<script" not in svg
    assert "\x00" not in svg
    assert ET.fromstring(svg) is not None


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((0.0, 1.0), [0.0, 0.5, 1.0]),
        ((-3.0, 17.0), [0.0, 5.0, 10.0, 15.0]),
        ((0.0, 0.0), [0.0]),
        ((1e-300, 3e-300), None),
    ],
)
def test_ticks_are_round(ends: tuple[float, float], ticks: list[float] | None) -> None:
    axis = Axis(*ends, 0, 100)
    found = axis.ticks(4)
    assert 1 <= len(found) <= 5
    assert all(ends[0] <= tick <= ends[1] for tick in found)
    if ticks is not None:
        assert found == ticks


@pytest.mark.parametrize("ends", [(-1.7e308, 1.7e308), (1e9, 1e9 + 1e-6), (0.0, 5e-324), (-1e-310, 1e-310)])
def test_ticks_of_any_range(ends: tuple[float, float]) -> None:
    axis = Axis(*ends, 0, 100)
    assert len(set(labels(axis.ticks(4)))) == len(axis.ticks(4))
    assert np.isfinite(axis(np.array(ends))).all()


def test_labels_do_not_overlap() -> None:
    scene = tfnorm.scan({"x": VALUES["offset"]})["x"].plot().scene
    ticks = [mark for mark in scene.marks if isinstance(mark, Text) and mark.role == "tick"]
    ends = sorted(
        (mark.x - len(mark.text) * 3, mark.x + len(mark.text) * 3) for mark in ticks if mark.anchor == "middle"
    )
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


def test_dates_are_written_as_dates() -> None:
    days = np.datetime64("2013-01-01") + np.arange(365)
    scene = tfnorm.scan({"t": days.astype("datetime64[s]")}, unit="s")["t"].plot().scene
    assert any(isinstance(mark, Text) and mark.text.startswith("2013-") for mark in scene.marks)


def test_two_distributions_have_the_same_bins() -> None:
    a, b = (tfnorm.scan({"x": values}) for values in (VALUES["normal"], VALUES["normal"] + 100))
    scene = drawing.two(before(a, "x"), before(b, "x"), ("old", "new"), "x")
    inside(scene)
    bars = next(
        mark for mark in scene.marks if isinstance(mark, Rectangles) and mark.role == "before" and len(mark.x) > 1
    )
    assert bars.x.max() < 60  # all the old lies at the left
    assert "old: from" in scene.title


@pytest.mark.parametrize("names", [("constant", "none"), ("constant", "constant"), ("normal", "constant")])
def test_two_of_anything_can_be_drawn(names: tuple[str, str]) -> None:
    a, b = (before(tfnorm.scan({"x": VALUES[name]}), "x") for name in names)
    inside(drawing.two(a, b, ("a", "b"), "x"))


def test_loss_curves() -> None:
    marks = np.array([0, 10, 100, 1000])
    fall = np.array([[1.0, 0.5, 0.1, 0.02], [1.1, 0.6, 0.12, 0.03], [0.9, 0.4, 0.08, 0.01]])
    bad = np.array([[1.0, 9.0, np.nan, np.inf], [1.0, 1e300, np.nan, np.nan]])
    scene = drawing.loss_curves(marks, {"standard": fall, "none": bad, "<b>": fall * 0 + 1})
    inside(scene)
    assert {mark.role for mark in scene.marks} >= {"series0", "band0", "series1", "band1", "grid"}
    assert "standard ends at 0.02" in scene.title
    assert "&lt;b&gt;" in drawing.svg(scene)
    assert ET.fromstring(drawing.svg(scene)) is not None


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {"a": np.full((2, 3), np.nan)},
        {"a": np.zeros((1, 3))},
        {"a": np.full((1, 3), 1e-320)},
        {"a": -np.ones((2, 3))},
    ],
)
def test_any_losses_can_be_drawn(losses: dict[str, np.ndarray]) -> None:
    inside(drawing.loss_curves(np.array([0, 1, 2]), losses))
    inside(drawing.loss_curves(np.array([0]), {"a": np.ones((2, 1))}))


def test_what_is_drawn_is_said() -> None:
    assert describe(before(tfnorm.scan({"x": [2.0]}), "x")).startswith("from 2 to 2, median 2")
    assert describe(before(tfnorm.scan({"x": [np.nan]}), "x")) == "there is no value"
    assert "deviation" in describe(before(tfnorm.fit({"x": [1.0, 2.0]}, "standard").profile, "x"))


def test_notebooks_show_drawings() -> None:
    fitted = tfnorm.fit(tfnorm.scan({"x": VALUES["normal"], "c": VALUES["constant"][[0] * 2000]}), "standard")
    for page in (fitted._repr_html_(), fitted.profile._repr_html_()):
        assert page.count("<svg") == 1
        assert "▁" not in page
        assert "currentColor" in page
