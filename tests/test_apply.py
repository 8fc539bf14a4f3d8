"""Arrays of any size and layout get what one call of the map gives, bit for bit; expected is `maps.run` on NumPy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm import maps
from tfnorm.apply import twins
from tfnorm.apply.dense import ALONE_BELOW, apply
from tfnorm.maps import Map, run

FEATURES = 3
KNOTS = np.cumsum(np.random.default_rng(5).exponential(size=(FEATURES, 37)), axis=1) - 18
THREE = np.array([0.5, -1.25, 2.0])
MAPS: dict[str, Map] = {
    "affine": maps.Affine(THREE, 1 / THREE, THREE / 7),
    "constant": maps.Affine(THREE, np.array([0.0, 2.0, 3.0]), THREE, has_constant=True),
    "clip": maps.Clip(np.array([-1.0, -2.0, 0.0]), np.array([1.0, 0.5, 3.0])),
    "limit": maps.Limit(-1.0, 2.0),
    "log1p": maps.Log1p(),
    "sqrt": maps.Power(0.5),
    "l1": maps.RowNorm(1.0),
    "l2": maps.RowNorm(2.0),
    "linf": maps.RowNorm(np.inf),
    "of all": maps.RowNorm(2.0, ()),
    "piecewise": maps.Piecewise(KNOTS, KNOTS[::-1] ** 3),
    "two knots": maps.Piecewise(KNOTS[:, :2], KNOTS[:, 5:7]),
    # without twins
    "identity": maps.Identity(),
    "signed_log": maps.SignedLog(),
    "asinh": maps.Asinh(0.3),
    "cube": maps.Power(3.0),
    "reciprocal": maps.Power(-1.0),
    "yeo_johnson": maps.YeoJohnson(np.array([-0.3, 0.0, 2.0])),
    "box_cox": maps.BoxCox(np.array([-0.3, 0.0, 2.0])),
    "sigmoid": maps.Sigmoid(),
    "soft_clip": maps.SmoothClip(2.0),
    "tails": maps.TukeyTails(np.array([0.0, 0.1, 0.3]), np.array([0.2, 0.0, 0.1])),
    "fill": maps.Fill(THREE),
    "present": maps.Present(),
    "within": maps.Within(-abs(THREE), abs(THREE)),
    "unless": maps.Unless(np.array([1.0, 0.0, 0.0]), maps.Affine(THREE, THREE, THREE)),
    "instance": maps.Instance(),
    "chain": maps.chain(maps.SignedLog(), maps.Affine(THREE, THREE, THREE), maps.Clip(-abs(THREE), abs(THREE))),
}
ELSEWHERE = {maps.ByKey, maps.Matrix, maps.FillAndMark, maps.Patches, maps.JoinPatches}  # test_grouped, test_joint
WITH_TWINS = list(MAPS)[: list(MAPS).index("identity")]
HARD = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, -2.0, 1e-30, -1e-30, 1e30, 3e38]


def numbers(rows: int, *shape: int, dtype: str) -> np.ndarray:
    """Tiles without anything odd, tiles of positive numbers, and tiles with all that is odd."""
    x = np.random.default_rng(rows).normal(scale=3, size=(rows, *shape))
    x[: rows // 2] = np.abs(x[: rows // 2]) + 0.01
    odd = x[rows // 3 : rows // 2].reshape(-1)
    odd[::7] = np.resize(HARD, len(odd[::7]))
    return x.astype(dtype)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles_threads_and_twins_change_nothing(name: str, dtype: str) -> None:
    step = MAPS[name].at(dtype)
    layouts = [numbers(rows, FEATURES, dtype=dtype) for rows in (2, 1500, 50_000, ALONE_BELOW // FEATURES + 5, 300_001)]
    for x in (*layouts, layouts[-1][::-1], np.asfortranarray(layouts[-1]), layouts[-1].reshape(-1, 1, FEATURES)):
        with np.errstate(all="ignore"):
            expected = run(step, x, np)
        for workers in (1, 2, 3):
            same(apply(MAPS[name], x, workers=workers), expected)
    if MAPS[name].invertible:
        with np.errstate(all="ignore"):
            same(apply(MAPS[name], layouts[-1], inverse=True), run(step, layouts[-1], np, inverse=True))


@pytest.mark.parametrize("name", WITH_TWINS)
def test_a_twin_is_there_where_it_is_said_to_be(name: str) -> None:
    x = numbers(40, FEATURES, dtype="float64")
    for layout, there in ((x, True), (np.asfortranarray(x), False)):
        out = np.full_like(x, 77.0)
        rows = twins.twin(MAPS[name], layout, out, inverse=False)
        assert (rows is not None) == there
        if rows is not None:
            rows(10, 20)
            assert (out[:10] == 77).all()
            assert not (out[10:20] == 77).any()
            assert (out[20:] == 77).all()


@pytest.mark.parametrize("order", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("width", [1, 7, 8, 33, 128, 129, 784, 3000])
def test_norms_of_rows_of_any_width(width: int, order: float) -> None:
    for dtype in ("float32", "float64"):
        x = numbers(ALONE_BELOW // width + 3, width, dtype=dtype)
        x[5] = 0
        x[6] = np.nan
        with np.errstate(all="ignore"):
            x[10:70] *= np.exp2(np.linspace(-100, 100, 60))[
                :, None
            ]  # on both sides of where squares vanish or overflow
            x[20:60, ::3] = np.nan
            same(apply(maps.RowNorm(order), x), maps.RowNorm(order).forward(x, np))


def test_norms_over_several_axes() -> None:
    x = numbers(500, 6, 30, 4, dtype="float32")
    for axes in ((), (-1,), (-2, -1), (-2,), (-3,), (-1, -2, -3), (-1, -3)):
        step = maps.RowNorm(2.0, axes)
        with np.errstate(all="ignore"):
            same(apply(step, x), step.forward(x, np))


@pytest.mark.parametrize("rows", [3, 200_000])
@pytest.mark.parametrize("dtype", ["float16", "uint8", "int32", "int64", "bool"])
def test_other_types_of_numbers(rows: int, dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 2, (rows, FEATURES)).astype(dtype)
    for name in ("affine", "clip", "log1p", "l2", "piecewise", "yeo_johnson"):
        working, result = maps.working_dtypes(dtype)
        same(apply(MAPS[name], x), run(MAPS[name].at(working), x, np).astype(result))


def test_what_float32_cannot_hold_is_computed_in_float64() -> None:
    """1e-45 becomes 0 in float32; the twin for float32 must not take it."""
    x = numbers(200_000, 1, dtype="float32")
    step = maps.Affine(np.zeros(1), np.array([1e-45]), np.zeros(1))
    with np.errstate(all="ignore"):
        same(apply(step, x), run(step, x.astype("float64"), np).astype("float32"))


@pytest.mark.parametrize("rows", [4, 200_000])
@pytest.mark.parametrize("choice", ["identity", "impute", "clip(-1000, 1000)"])
def test_the_result_is_not_the_input(choice: str, rows: int) -> None:
    x = np.ones((rows, FEATURES))
    y = tfnorm.fit(x, choice).transform(x)
    y[:] = 5
    assert (x == 1).all()


@pytest.mark.parametrize("rows", [5, 3000, ALONE_BELOW])
@pytest.mark.parametrize("name", MAPS)
def test_a_result_is_written_where_it_is_wanted(name: str, rows: int) -> None:
    step, x = MAPS[name], numbers(rows, FEATURES, dtype="float32")
    expected, before = apply(step, x), x.copy()
    for out in (
        np.empty_like(expected),
        np.empty((*expected.shape[:-1], 2 * expected.shape[-1]), expected.dtype)[..., ::2],
    ):
        assert apply(step, x, out=out) is out
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(x, before)
    if (x.shape, x.dtype) == (expected.shape, expected.dtype):
        assert apply(step, x, out=x) is x
        np.testing.assert_array_equal(x, expected)


def test_what_cannot_take_a_result_is_refused() -> None:
    x = numbers(100, FEATURES, dtype="float32")
    fitted = tfnorm.fit(x, "standard", infinite="missing")
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    more = np.empty((101, FEATURES), np.float32)
    wrong: list[tuple[Any, Any, str]] = [
        (x, more, r"expected shape \(100, 3\) and float32, got shape \(101, 3\) and float32"),
        (x, np.empty((100, FEATURES)), "got shape .* and float64. Make it with"),
        (np.zeros((100, FEATURES), int), np.zeros((100, FEATURES), int), "and float64, got shape .* and int64"),
        (x, [[0.0]], "expected an array, got list"),
        (x, read_only, "read-only"),
        (more[1:], more[:-1], "overlaps"),
        (np.ma.masked_invalid(x), x, "takes no mask"),
        (x, np.ma.masked_invalid(x), "got MaskedArray"),
        ({"x": x}, x, "one dense array"),
    ]
    for data, out, message in wrong:
        with pytest.raises(tfnorm.DataError, match=message):
            fitted.transform(data, out=out)
    named = tfnorm.fit({"a": x}, "standard", infinite="missing")
    with pytest.raises(tfnorm.DataError, match="one dense array"):
        named.transform(x, out=np.empty_like(x))
    out = np.empty_like(x)
    assert named["a"].transform(x, out=out) is out
    np.testing.assert_array_equal(out, fitted.transform(x))


def test_small_arrays_wait_for_no_compiler(tmp_path: Path) -> None:
    for choice in ("standard", "quantile", "l2", "yeo_johnson"):
        tfnorm.fit(np.arange(12.0).reshape(4, 3), choice).save(tmp_path / f"{choice}.json")
    code = (
        "import sys, pathlib, numpy, tfnorm\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.json')):\n"
        "    for rows in (1, 5000, 60000):\n"
        "        tfnorm.load(path).transform(numpy.ones((rows, 3)))\n"
        "sys.exit(any(f'tfnorm.kernels.{name}' in sys.modules for name in ('elementwise', 'rows')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_all_kinds_of_maps_are_tried() -> None:
    kinds = {kind for kind in Map.__subclasses__() if kind.__module__.startswith("tfnorm.")}
    assert kinds - ELSEWHERE == {type(step) for step in MAPS.values()}
