"""Distributions drawn: one, before and after, or two on the same bins.

The one law: before and after show the same rows. Both are cut at the same ranks, in as many bins, and lines lead each quartile
from where it was to where it came.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from tfnorm.binning import Bins, binned, common_view
from tfnorm.drawing.axes import LETTER, Axis, Words, below
from tfnorm.drawing.scene import Dots, Mark, Polyline, Rectangles, Scene, Text
from tfnorm.looks import Look
from tfnorm.summary import number

WIDTH = 420.0
MARGIN = 14.0
BINS, SMALL_BINS = 36, 14
BARS = 62.0  # height of the tallest bar
TICKS = 4
OUTLIERS = 7  # dots that stand for the outliers of one side


def small(bins: Bins | None, role: str = "before", width: float = 84.0, height: float = 22.0) -> Scene:
    """A distribution as small as a word; a line where there is none."""
    base: Mark = Polyline("axis", np.array([0.0, width]), np.array([height - 0.5] * 2))
    if bins is None:
        return Scene(width, height, (base,), "no distribution")
    axis = Axis(bins.low, bins.high, 0.0, width)
    bars = _bars(bins, axis, height - 1, height - 2, role)
    return Scene(width, height, (bars, base), _said(bins))


def distribution(look: Look, title: str, words: Words | None = None) -> Scene:
    """One distribution with its quartiles and outliers."""
    marks = _panel(look, title, 0.0, "before", words)
    return Scene(WIDTH, _height(look), tuple(marks), f"{title}: {describe(look)}")


def before_and_after(
    before: Look, after: Look, title: str, technique: str, words: Words | None = None, *, named: bool = False
) -> Scene:
    """A column as it was and as it comes out of its map, one above the other; with its name, where that stands nowhere else."""
    marks = _panel(before, f"{title}, before" if named else "before", 0.0, "before", words)
    top = _height(before)
    if before.curve is not None and after.curve is not None:
        marks += _links(before, after, top, top + _LINKS)
        top += _LINKS
    marks += _panel(after, f"after {technique}", top + 6, "after", None)
    said = f"{title} before: {describe(before)}; after {technique}: {describe(after)}"
    return Scene(WIDTH, top + 6 + _height(after), tuple(marks), said)


def two(first: Look, second: Look, names: tuple[str, str], title: str, words: Words | None = None) -> Scene:
    """Two data sets of one column on the same bins: the first as bars, the second as an outline above them."""
    held = [look.curve for look in (first, second) if look.curve is not None]
    ends = common_view(*held)
    marks: list[Mark] = [Text("label", MARGIN + 26, 12, names[0])]
    marks.append(Rectangles("before", *(np.array([v]) for v in (MARGIN, 3.0, 20.0, 10.0))))
    marks.append(Text("label", WIDTH - MARGIN, 12, names[1], "end"))
    x = WIDTH - MARGIN - len(names[1]) * LETTER - 30
    marks += [Polyline("other", np.array([x, x + 20]), np.array([8.0, 8.0]))]
    if ends is None or first.curve is None or second.curve is None:
        why = first.unknown or second.unknown or "both have one value only, the same"
        return Scene(WIDTH, 20 + _lines_height(why), (*marks, *_lines(why, 32)), f"{title}: not drawn, as {why}")
    axis = Axis(*ends, MARGIN, WIDTH - MARGIN)
    bins = [binned(curve, *ends, BINS) for curve in held]
    tallest = max(float(one.shares.max()) for one in bins) or 1.0
    base = _TOP + BARS
    marks.append(_bars(bins[0], axis, base, BARS, "before", tallest))
    heights = base - bins[1].shares / tallest * BARS
    edges = axis(bins[1].edges)
    x_of = np.repeat(edges, 2)
    marks.append(Polyline("other", x_of, np.concatenate([[base], np.repeat(heights, 2), [base]])))
    marks += below(axis, base, TICKS, words)
    quartiles = [(first, "box", base + 22), (second, "other", base + 30)]
    for look, role, y in quartiles:
        low, middle, high = (float(axis(value)) for value in look.quartiles)
        marks.append(Polyline(role, np.array([low, high]), np.array([y, y])))
        marks.append(Dots(role, np.array([middle]), np.array([y]), 3.0))
    said = f"{names[0]}: {describe(first)}; {names[1]}: {describe(second)}"
    return Scene(WIDTH, base + 38, tuple(marks), f"{title}, {said}")


_TOP = 20.0  # above the bars: the caption
_BOX = 12.0  # below them: quartiles and outliers
_HEIGHT = _TOP + BARS + _BOX + 22.0
_LINKS = 22.0  # between the panels
_LINE = 15.0  # of text


def _height(look: Look) -> float:
    """Of a panel."""
    if look.curve is not None:
        return _HEIGHT
    if look.maximum >= look.minimum:
        return _TOP + 14 + 10 + 20 + _lines_height(_range_words(look))
    return _TOP + _lines_height(look.unknown)


def describe(look: Look) -> str:
    """A distribution in words.

    >>> import tfnorm
    >>> from tfnorm.looks import before
    >>> describe(before(tfnorm.scan({"x": [1.0, 2.0, 3.0]}), "x"))
    'from 1 to 3, median 2, half of the values between 1.5 and 2.5'
    """
    if math.isnan(look.minimum):
        return look.unknown
    ends = f"from {number(look.minimum)} to {number(look.maximum)}"
    if look.curve is None:
        return ends if math.isnan(look.std) else f"{ends}, mean {number(look.mean)}, deviation {number(look.std)}"
    low, middle, high = (number(value) for value in look.quartiles)
    return f"{ends}, median {middle}, half of the values between {low} and {high}"


def _panel(look: Look, caption: str, top: float, role: str, words: Words | None) -> list[Mark]:
    """One distribution from `top` down, as high as every other."""
    marks: list[Mark] = [Text("label", MARGIN, top + 12, _cut(caption, 30))]
    base = top + _TOP + BARS
    if look.curve is None:
        return marks + (_range(look, top, words) if look.maximum >= look.minimum else _lines(look.unknown, top + 32))
    axis = _axis_of(look)
    if axis.low == axis.high:  # one value
        x = float(axis(axis.low))
        marks.append(Rectangles(role, *(np.array([v]) for v in (x - 4, base - BARS, 8.0, BARS))))
        return marks + below(axis, base + _BOX, TICKS, words)
    bins = binned(look.curve, axis.low, axis.high, BINS)
    if beyond := _beyond(look, axis):
        marks.append(Text("note", WIDTH - MARGIN, top + 12, beyond, "end"))
    marks.append(_bars(bins, axis, base, BARS, role))
    return marks + _box(look, axis, base + _BOX / 2) + below(axis, base + _BOX, TICKS, words)


def _axis_of(look: Look) -> Axis:
    return Axis(*(look.view or (look.minimum, look.maximum)), MARGIN, WIDTH - MARGIN)


def _bars(bins: Bins, axis: Axis, base: float, height: float, role: str, tallest: float | None = None) -> Rectangles:
    """What is there is seen: no bar of something is lower than a pixel."""
    most = tallest or float(bins.shares.max()) or 1.0
    held = bins.shares > most * 1e-9
    left, right = axis(bins.edges[:-1])[held], axis(bins.edges[1:])[held]
    heights = np.maximum(bins.shares[held] / most * height, 1.0)
    return Rectangles(role, left, base - heights, np.maximum(right - left - 0.6, 0.5), heights)


def _box(look: Look, axis: Axis, y: float) -> list[Mark]:
    """Quartiles as a box, the median in it, a line to the fences, dots for what lies beyond them."""
    low, middle, high = (float(axis(value)) for value in look.quartiles)
    ends = axis(np.array(look.fences))
    marks: list[Mark] = [Polyline("axis", ends, np.array([y, y]))]
    marks.append(Rectangles("box", *(np.array([v]) for v in (low, y - 4, max(high - low, 1.0), 8.0))))
    marks.append(Polyline("median", np.array([middle, middle]), np.array([y - 4, y + 4])))
    assert look.curve is not None
    below_share, above_share = look.outliers
    part = (np.arange(OUTLIERS) + 0.5) / OUTLIERS
    wanted = [part * below_share] if below_share > 0 else []
    wanted += [1 - part * above_share] if above_share > 0 else []
    if wanted:
        values = np.array(look.curve.quantiles(np.concatenate(wanted)))
        x = np.unique(np.round(axis(values)))
        marks.append(Dots("outlier", x, np.full(len(x), y), 1.8))
    return marks


def _beyond(look: Look, axis: Axis) -> str:
    """What the bins leave out, in words."""
    low, high = look.minimum < axis.low, look.maximum > axis.high
    if low and high:
        return f"reaches {_short(look.minimum)} to {_short(look.maximum)}"
    return f"reaches {_short(look.maximum if high else look.minimum)}" if low or high else ""


def _short(value: float) -> str:
    return number(float(f"{value:.3g}"))


def _links(before: Look, after: Look, top: float, bottom: float) -> list[Mark]:
    """Lines from each quartile before to where it is after."""
    if before.curve is None or after.curve is None:
        return []
    axes = _axis_of(before), _axis_of(after)
    if any(axis.low == axis.high for axis in axes):
        return []
    places = []
    for look, axis in zip((before, after), axes, strict=True):
        places.append(axis(np.array([axis.low, *look.quartiles, axis.high])))
    y = np.array([top, top + 4, bottom - 4, bottom])
    return [Polyline("link", np.array([a, a, b, b]), y) for a, b in zip(*places, strict=True)]


def _range(look: Look, top: float, words: Words | None) -> list[Mark]:
    """What is known where no distribution is: from where to where, and the mean with one deviation to either side."""
    y = top + _TOP + 14
    axis = Axis(look.minimum, look.maximum, MARGIN, WIDTH - MARGIN)
    marks: list[Mark] = [Polyline("axis", np.array([axis.start, axis.stop]), np.array([y, y]))]
    if not math.isnan(look.std) and axis.low < axis.high:
        low, middle, high = (float(axis(look.mean + by * look.std)) for by in (-1, 0, 1))
        marks.append(Rectangles("box", *(np.array([v]) for v in (low, y - 6, max(high - low, 1.0), 12.0))))
        marks.append(Polyline("median", np.array([middle, middle]), np.array([y - 6, y + 6])))
    marks += below(axis, y + 10, TICKS, words)
    return marks + _lines(_range_words(look), y + 44)


def _range_words(look: Look) -> str:
    mean = "range. " if math.isnan(look.std) else "range, and mean with one deviation to either side. "
    return f"Drawn: {mean}{look.unknown[:1].upper()}{look.unknown[1:]}."


def _lines(text: str, y: float) -> list[Mark]:
    """Text in as many lines as it takes."""
    return [Text("note", MARGIN, y + _LINE * i, line) for i, line in enumerate(_wrapped(text))]


def _lines_height(text: str) -> float:
    return _LINE * len(_wrapped(text)) + 4


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and (len(line) + 1 + len(word)) * LETTER * 0.9 > WIDTH - 2 * MARGIN:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _said(bins: Bins) -> str:
    top = int(bins.shares.argmax())
    low, high = list(pairwise(bins.edges))[top]
    return f"from {number(bins.low)} to {number(bins.high)}, most between {number(low)} and {number(high)}"
