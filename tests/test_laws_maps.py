"""The laws of maps and techniques, over every one there is: adding one adds its tests. What is wrong fails them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tfnorm
from test_laws import equal, laws, ours
from tfnorm import maps as M
from tfnorm.codec import decode, encode
from tfnorm.errors import NotInvertibleError
from tfnorm.keys import Keys
from tfnorm.maps import Affine, Chain, Clip, Identity, Log1p, Map, RowNorm, chain

MAPS: list[Any] = ours(Map)

# Maps come back.


def comes_back(step: Map, x: np.ndarray) -> None:
    """m.inverse(m.forward(x)) == x, to the rounding of the numbers on the way; or the map says what is lost."""
    assert step.invertible == (not step.lost and not step.limited)
    if step.lost:
        if step.restores_like:
            back = step.inverse_like(step.forward(x, np), x, np)
            np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9 * np.abs(x).max(initial=0.0))
        with pytest.raises(NotInvertibleError, match=step.lost[:20]):
            step.inverse(x, np)
        return
    forth = step.forward(x, np)
    back = step.inverse(forth, np)
    assert back.shape == x.shape
    assert forth.shape == step.shape(x.shape)
    assert step.shape(forth.shape, inverse=True) == x.shape
    size = max(np.abs(one).max(initial=1.0) for one in (x, *step.arrays().values()))
    np.testing.assert_allclose(back, x, rtol=1e-12, atol=1e-12 * size)


def features(low: float, high: float) -> Any:
    return hnp.arrays(np.float64, 3, elements=st.floats(low, high))


def turned(center: np.ndarray, angle: float) -> M.Matrix:
    """A turn about the third axis, and a stretch along it."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    stretch = np.array([1.0, 1.0, 4.0])
    return M.Matrix(center, np.array([0.0, 1.0, -2.0]), turn * stretch, turn.T / stretch[:, None], kept=3)


affine = st.builds(Affine, features(-1e6, 1e6), features(1e-3, 1e3), features(-5, 5))
near = st.builds(Affine, features(-10, 10), features(1e-2, 1e2), features(-5, 5))
outer = st.builds(Clip, features(-1e6, -1e5), features(1e5, 1e6))
EXAMPLES: dict[type, tuple[Any, tuple[float, float]]] = {  # a map of three features, and what of its domain to try
    Affine: (affine, (-1e6, 1e6)),
    Clip: (st.builds(Clip, features(-1e5, -1e4), features(1e4, 1e5)), (-1e4, 1e4)),
    M.Limit: (st.just(M.Limit(-2.0, 5.0)), (-2, 5)),
    Log1p: (st.just(Log1p()), (-0.999, 1e9)),
    Identity: (st.just(Identity()), (-1e300, 1e300)),
    RowNorm: (st.builds(RowNorm, st.sampled_from([1.0, 2.0, np.inf])), (-1e300, 1e300)),
    M.SignedLog: (st.just(M.SignedLog()), (-1e9, 1e9)),
    M.Asinh: (st.builds(M.Asinh, st.floats(0.01, 100)), (-1e9, 1e9)),
    M.Power: (st.builds(M.Power, st.sampled_from([0.5, 3.0, 1.0, 0.25])), (0.0, 1e6)),
    M.YeoJohnson: (st.builds(M.YeoJohnson, features(0.1, 1.9)), (-100, 100)),
    M.BoxCox: (st.builds(M.BoxCox, features(-1, 2)), (0.1, 100)),
    M.Sigmoid: (st.just(M.Sigmoid()), (-2, 2)),
    M.SmoothClip: (st.builds(M.SmoothClip, st.floats(1, 10)), (-10, 10)),
    M.TukeyTails: (st.builds(M.TukeyTails, features(0, 0.5), features(0, 0.5)), (-100, 100)),
    M.Piecewise: (
        st.just(M.Piecewise(np.tile([0.0, 1.0, 10.0], (3, 1)), np.tile([-1.0, 0.0, 3.0], (3, 1)))),
        (-100, 100),
    ),
    M.Within: (st.builds(M.Within, features(-1e5, -1e4), features(1e4, 1e5)), (-1e4, 1e4)),
    M.Unless: (st.builds(M.Unless, st.just(np.array([1.0, 0.0, 0.0])), near), (-1e6, 1e6)),
    M.Fill: (st.builds(M.Fill, features(-5, 5)), (-1e300, 1e300)),
    M.Present: (st.just(M.Present()), (-1e300, 1e300)),
    M.Instance: (st.builds(M.Instance, st.sampled_from([(), (-1,)])), (-1e100, 1e100)),
    M.ByKey: (
        st.builds(
            lambda center, scale, offset: M.ByKey(
                Keys.of({"store": np.array(["a", "b"])})[0],
                Affine(center.reshape(3, 3), scale.reshape(3, 3), offset.reshape(3, 3)),
                "global",
            ),
            hnp.arrays(np.float64, 9, elements=st.floats(-1e6, 1e6)),
            hnp.arrays(np.float64, 9, elements=st.floats(1e-3, 1e3)),
            hnp.arrays(np.float64, 9, elements=st.floats(-5, 5)),
        ),
        (-1e6, 1e6),
    ),
    M.FillAndMark: (st.builds(M.FillAndMark, features(-5, 5)), (-1e300, 1e300)),
    M.Matrix: (
        st.builds(turned, features(-10, 10), st.floats(-4, 4)),
        (-100, 100),
    ),
    M.Patches: (st.just(M.Patches(2)), (-1e300, 1e300)),
    M.JoinPatches: (st.just(M.JoinPatches(2)), (-1e300, 1e300)),
    Chain: (st.builds(lambda one, clip: Chain((Log1p(), one, clip)), near, outer), (-0.9, 1e4)),
}


SAMPLES: dict[type, tuple[int, ...]] = {M.Patches: (4, 2, 3), M.JoinPatches: (1, 2, 12)}  # shapes that are not (3,)


def test_every_map_has_examples() -> None:
    assert set(EXAMPLES) == set(MAPS)


def drawn(kind: type, data: Any) -> tuple[Map, np.ndarray]:
    maps, (low, high) = EXAMPLES[kind]
    shape = (data.draw(st.sampled_from([1, 2, 7])), *SAMPLES.get(kind, (3,)))
    return data.draw(maps), data.draw(hnp.arrays(np.float64, shape, elements=st.floats(low, high)))


@pytest.mark.parametrize("kind", MAPS)
@laws
@given(data=st.data())
def test_maps_come_back(kind: Any, data: Any) -> None:
    step, x = drawn(kind, data)
    comes_back(step, x)
    assert np.isfinite(step.forward(x, np)).all()
    comes_back(chain(step, Identity()), x)


@pytest.mark.parametrize("kind", MAPS)
@laws
@given(data=st.data())
def test_maps_are_values(kind: Any, data: Any) -> None:
    step, x = drawn(kind, data)
    equal(decode(Map, encode(step)), step)
    equal(step.with_arrays(step.arrays()), step)
    equal(step.at("float64"), step)
    number = x.shape[-1]
    assert step.flaw(number) == ""
    assert bool(step.flaw(number + 1)) == bool(step.arrays() or kind is M.JoinPatches)
    assert step.features(step.width(number)) == number
    assert step.width(number) == step.forward(x, np).shape[-1]
    assert hash(step.settings()) == hash(decode(Map, encode(step)).settings())
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.center = 1  # type: ignore[attr-defined]
    x[0].flat[1] = np.nan
    missing = np.isnan(step.forward(x, np))
    moves = kind in (M.Patches, M.JoinPatches)
    assert missing[0].flat[1] or moves or step.fills  # which are there to end it
    assert not missing[1:].any()
    assert missing.sum() == (0 if step.fills else 1 if step.elementwise or step.leaves_out or moves else 3)
    if step.invertible and step.fills and step.marks:
        np.testing.assert_array_equal(np.isnan(step.inverse(step.forward(x, np), np)), np.isnan(x))


# What is wrong must fail.


@dataclasses.dataclass(frozen=True)
class ForgetsItsOffset(Map):
    offset: np.ndarray

    def forward(self, x: Any, xp: Any) -> Any:
        return x + self.offset

    def inverse(self, y: Any, xp: Any) -> Any:
        return y


@dataclasses.dataclass(frozen=True)
class Squared(Map):
    """Says that it comes back, and loses the sign."""

    def forward(self, x: Any, xp: Any) -> Any:
        return x * x

    def inverse(self, y: Any, xp: Any) -> Any:
        return xp.sqrt(y)


def test_a_wrong_map_fails() -> None:
    for wrong in (ForgetsItsOffset(np.array([1.0])), Squared()):
        with pytest.raises(AssertionError):
            comes_back(wrong, np.array([[-3.0], [2.0]]))


# Techniques: from statistics to a map.

VARIANTS: dict[str, list[str]] = {
    "minmax": ["minmax(-1, 1)", "minmax(low=2, high=5, clip=True)"],
    "standard": ["standard(center=False)", "standard(scale=False)"],
    "rescale": ["rescale(-1, 1)"],
    "robust": ["robust(5, 95)", "robust(0, 100)"],
    "l2": ["l2(axis=None)"],
}
BENT = {  # whose curves, fills and limits have laws of their own: tests/test_curves.py
    *("signed_log", "asinh", "sqrt", "power", "soft_clip", "sigmoid", "tanh", "yeo_johnson", "box_cox", "quantile"),
    *("gaussianize", "clip", "winsorize", "impute", "mask", "instance", "contrast", "vast", "decimal", "pareto"),
    *("whiten", "patches", "join_patches"),  # tests/test_joint.py
}
CHOICES = [text for name in tfnorm.TECHNIQUES if name not in BENT for text in (name, *VARIANTS.get(name, []))]


def statistics_of(choice: str) -> Any:
    """What the technique is solved from."""
    return tfnorm.TECHNIQUES[choice.split("(", maxsplit=1)[0]].statistics


def columns_for(choice: str) -> Iterator[Any]:
    """All magnitudes whose ratios are numbers; some about 1; few different ones."""
    low = -0.99 if choice == "log1p" else -1e150
    yield st.floats(low, 1e150).map(lambda value: value if abs(value) > 1e-150 else 0.0)
    yield st.floats(max(low, -100), 100)
    yield st.integers(0, 3).map(float)


@pytest.mark.parametrize("choice", CHOICES)
@laws
@given(data=st.data())
def test_techniques(choice: str, data: Any) -> None:
    elements = data.draw(st.sampled_from(list(columns_for(choice))))
    x = data.draw(hnp.arrays(np.float64, (data.draw(st.sampled_from([1, 2, 9])), 3), elements=elements))
    fitted = tfnorm.fit(x, choice)
    y = fitted.transform(x)
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    step = fitted.maps["x"]
    equal(decode(Map, encode(step)), step)
    if not step.lost:
        varies = (x != x[0]).any(axis=0) | (not tfnorm.TECHNIQUES[choice.split("(", maxsplit=1)[0]].statistics)
        back = fitted.inverse(y)
        spread = np.ptp(x / 2, axis=0)
        own = 1.0 if choice.startswith("rescale") else 0.0  # its limits are there whatever the data are
        for j in np.flatnonzero(varies & ((spread > 1e-300) | (spread == 0))):
            np.testing.assert_allclose(back[:, j], x[:, j], rtol=1e-12, atol=1e-12 * max(own, np.abs(x[:, j]).max()))
    unseen = data.draw(hnp.arrays(np.float64, x.shape, elements=elements))
    assert not np.isnan(fitted.transform(unseen)).any()
    x[0, 1] = np.nan
    missing = np.isnan(fitted.transform(x))
    assert missing[0].tolist() == ([False, True, False] if step.elementwise or step.leaves_out else [True] * 3)
    assert not missing[1:].any()


@pytest.mark.parametrize("choice", [text for text in CHOICES if statistics_of(text)])
@laws
@given(value=st.floats(-1e300, 1e300), unseen=st.floats(allow_nan=False))
def test_a_constant_gives_zero_whatever_comes(choice: str, value: float, unseen: float) -> None:
    value = 0.0 if choice == "maxabs" else value  # there only a column of zeros has no size
    fitted = tfnorm.fit(np.full((5, 1), value), choice)
    low = {"minmax(-1, 1)": -1.0, "minmax(low=2, high=5, clip=True)": 2.0}.get(choice, 0.0)
    assert fitted.transform([[value], [unseen], [0.0]]).tolist() == [[low]] * 3
    assert fitted.inverse([[low]]).tolist() == [[value]]
    assert np.isnan(fitted.transform([[np.nan]])).all()
