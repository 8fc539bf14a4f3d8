"""Pixels that are summed instead of counted: the same statistics, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from test_images import RNG, encoded, picture, write
from tfnorm.sources import images as sources
from tfnorm.sources import pixels as pixels_of
from tfnorm.statistics import Count, Extremes, Moments


def same_bits(a: Any, b: Any) -> None:
    for name in type(a).__match_args__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("features", ["each", "all"])
def test_sums_say_what_counts_say(channels: int, features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, and as exact fractions have it: of pictures of any size, of one value, and where sums are carried over."""
    from fractions import Fraction

    from tfnorm.counted import SUMMED, measure

    sizes = ((1, 1), (7, 5), (120, 113), (400, 301))
    several = [RNG.integers(0, 256, (*size, channels)).astype(np.uint8) for size in sizes]
    ends = [np.full((130, 7, channels), value, np.uint8) for value in (0, 255, 128)]
    number = channels if features == "each" else 1
    for pictures in (several, *([one] for one in (*several, *ends)), [*several, *ends]):
        told = []
        for summed, most in ((False, 1 << 34), (True, 1 << 34), (True, 1 << 13)):
            monkeypatch.setattr(pixels_of, "MOST", most)
            pixels = pixels_of.Pixels(sources.column_of("image", pictures[0]), summed=summed)
            for one in pictures:
                pixels.add(one, "")
            rows = pixels.batch("image")["image"]
            told.append(measure(rows.values, rows, tuple(SUMMED), number))
        for kind in SUMMED:
            same_bits(told[0][kind], told[1][kind])
            same_bits(told[0][kind], told[2][kind])
        x = np.concatenate([one.reshape(-1, channels) for one in pictures]).reshape(-1, number)
        moments, extremes, count = told[0][Moments], told[0][Extremes], told[0][Count]
        np.testing.assert_array_equal(extremes.minimum, x.min(axis=0))
        np.testing.assert_array_equal(extremes.maximum, x.max(axis=0))
        np.testing.assert_array_equal(count.zero, (x == 0).sum(axis=0))
        np.testing.assert_array_equal(count.finite, len(x))
        for j in range(number):
            value, many = np.unique(x[:, j], return_counts=True)
            pairs = [(int(v), int(n)) for v, n in zip(value, many, strict=True)]
            mean = Fraction(sum(v * n for v, n in pairs), len(x))
            assert moments.mean[j] == float(mean)
            for power, found in ((2, moments.m2), (3, moments.m3), (4, moments.m4)):
                exact = sum(n * (v - mean) ** power for v, n in pairs)
                assert found[j] == float(exact / 2 ** (int(moments.exponent[j]) * power))


def test_sums_of_parts_add_up() -> None:
    from tfnorm.counted import SUMMED, measure

    pictures = [picture(50, 40), picture(33, 21), np.zeros((3, 3, 3), np.uint8)]

    def of(several: list[np.ndarray]) -> Any:
        pixels = pixels_of.Pixels(sources.column_of("image", several[0]), summed=True)
        for one in several:
            pixels.add(one, "")
        return pixels.batch("image")["image"]

    both = np.concatenate([of(pictures[:1]), of(pictures[1:])])  # type: ignore[call-overload]
    assert len(both) == 3
    found, wanted = (measure(rows.values, rows, tuple(SUMMED), 3) for rows in (both, of(pictures)))
    for kind in SUMMED:
        same_bits(found[kind], wanted[kind])


def test_a_fit_sums_and_a_scan_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whether the processor can sum fast is nowhere to be seen."""
    from tfnorm.kernels import powers

    for i in range(5):
        write(tmp_path / f"{i}.png", encoded(picture(60 + i, 50)))
    asked: list[int] = []
    told = pixels_of._Sums.told

    def heard(one: Any, rows: int) -> Any:
        asked.append(rows)
        return told(one, rows)

    monkeypatch.setattr(pixels_of._Sums, "told", heard)
    found = tfnorm.fit(tmp_path, "standard").profile["image"]
    assert sum(asked) == (5 if powers.AVAILABLE else 0)
    asked.clear()
    scanned = tfnorm.scan(tmp_path)["image"]
    assert not asked
    monkeypatch.setattr(powers, "AVAILABLE", False)
    without = tfnorm.fit(tmp_path, "standard").profile["image"]
    for one in (scanned, without):
        same_bits(found.count, one.count)
        same_bits(found.extremes, one.extremes)
        same_bits(found.moments, one.moments)
