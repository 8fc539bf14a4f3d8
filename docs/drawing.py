"""What a technique does to a skewed sample, drawn: one small SVG a technique, computed by the technique itself.

The one law: the same maps give the same text. Numbers are in tenths of a pixel, no font is needed, and no color is close to
white or to black, so that a picture can be read on either.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from statistics import NormalDist

import numpy as np

import tfnorm
from tfnorm.errors import TfnormError
from tfnorm.maps import Map
from tfnorm.techniques import parse

SETTINGS = {  # of those that need some, and of those whose defaults would show nothing
    "power": "power(0.33)",
    "clip": "clip(0, 5)",
    "winsorize": "winsorize(5, 95)",
    "impute": "impute('median')",
    "tanh": "tanh(spread=0.2)",
    "asinh": "asinh(scale=0.5)",
    "patches": "patches(4)",
    "join_patches": "join_patches(4)",
}
WITH_MISSING = ("impute", "mask")
BINS = 40
POINTS = 81
WIDTH, HEIGHT = 420, 240
LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, BARS = 96, 14, 300, 150, 44
STYLE = (
    "text{font:11px sans-serif;fill:#808080}.x,.y{fill:#4a90d9}.m{fill:#e0803a}.a{stroke:#909090;fill:none}"
    ".c{stroke:#d2553f;stroke-width:2;fill:none}"
)


def skewed(name: str) -> np.ndarray:
    """300 lognormal values, an outlier, a few zeros and negative numbers; some missing where that is the matter."""
    normal = NormalDist()
    body = np.exp([0.75 * normal.inv_cdf((i + 0.5) / 300) for i in range(300)])
    rest = [20.0, 0.0, 0.0, 0.0, -0.2, -0.5, -0.9, -1.5]
    return np.concatenate([body, rest, [np.nan] * (40 if name in WITH_MISSING else 0)])


def choice_of(name: str) -> str:
    return SETTINGS.get(name, name)


def sample(name: str) -> np.ndarray:
    """What it is shown on: the skewed sample, or rows of vectors or images for what looks at these."""
    if name == "whiten":
        return _cloud()
    if name == "patches":
        return _image()
    return (
        np.asarray(tfnorm.fit(_image(), "patches(4)").transform(_image()))
        if name == "join_patches"
        else skewed(name)[:, None]
    )


@cache
def fitted_map(name: str) -> tuple[Map, np.ndarray]:
    """The technique on its sample, or on what of it the technique takes."""
    x = sample(name)
    try:
        return tfnorm.fit(x, choice_of(name)).maps["x"], x
    except TfnormError:
        x = x[x > 0][:, None]
        return tfnorm.fit(x, choice_of(name)).maps["x"], x


def picture(name: str) -> str:
    """Its SVG."""
    step, x = fitted_map(name)
    if step.elementwise:
        return _svg(name, _curve(step, x[:, 0]), WIDTH, HEIGHT)
    if name in ("patches", "join_patches"):
        return _svg(name, _cut(name), WIDTH, 190)
    if name == "whiten":
        return _svg(name, _points(x, np.asarray(tfnorm.fit(x, name).transform(x)), (6.0, 3.0)), WIDTH, 210)
    if type(step).__name__ == "RowNorm":
        return _svg(name, _vectors(name), WIDTH, 210)
    return _svg(name, _images(name), WIDTH, 210)


def _svg(name: str, body: Iterator[str], width: int, height: int) -> str:
    title = f"What {choice_of(name)} does to a skewed sample"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    return "\n".join([head, f"<title>{title}</title>", f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"


def _px(value: float) -> str:
    """In tenths of a pixel."""
    return f"{round(float(value), 1) + 0.0:g}"


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{_px(x)}" y="{_px(y)}" text-anchor="{anchor}">{text}</text>'


# ------------------------------------------------------------------------------------- each number by itself: the curve


def _curve(step: Map, x: np.ndarray) -> Iterator[str]:
    """The curve; below it where the values are, to its left where they go."""
    with np.errstate(all="ignore"):
        y = step.forward(x[:, None], np)[:, 0]
        gone = np.isnan(y) & ~np.isnan(x)
        there, missing = ~np.isnan(x) & ~gone, np.isnan(x)
        low, high = float(np.nanmin(x)), float(np.nanmax(x))
        line = np.linspace(low, high, POINTS)
        line = np.unique(np.concatenate([line, np.linspace(low, low + (high - low) / 5, POINTS)]))
        curve = step.forward(line[:, None], np)[:, 0]
    known = np.isfinite(curve)
    values = np.concatenate([y[np.isfinite(y)], curve[known]])
    bottom, top = float(values.min()), float(values.max())
    if top == bottom:
        bottom, top = bottom - 1, top + 1

    def across(value: np.ndarray) -> np.ndarray:
        return LEFT + (value - low) / (high - low) * PANEL_WIDTH

    def up(value: np.ndarray) -> np.ndarray:
        return TOP + (top - value) / (top - bottom) * PANEL_HEIGHT

    floor = TOP + PANEL_HEIGHT
    yield f'<path class="a" d="M{LEFT} {TOP}V{floor}H{LEFT + PANEL_WIDTH}"/>'
    points = [f"{_px(a)} {_px(b)}" for a, b in zip(across(line[known]), up(curve[known]), strict=True)]
    yield f'<path class="c" d="M{"L".join(points)}"/>'
    counts = np.histogram(x[there | gone], BINS, (low, high))[0]
    yield f'<path class="x" d="{_bars_down(counts, LEFT, floor + 4)}"/>'
    for chosen, kind in ((there, "y"), (missing & np.isfinite(y), "m")):
        if chosen.any():
            counts = np.histogram(y[chosen], BINS, (bottom, top))[0]
            yield f'<path class="{kind}" d="{_bars_left(counts, LEFT - 4, floor)}"/>'
    if missing.any():
        height = float(_shares(np.array([missing.sum(), len(x) - missing.sum()]))[0])
        yield f'<path class="m" d="M{LEFT - 30} {floor + 4}h8v{_px(height)}h-8z"/>'
        yield _text(LEFT - 26, floor + 4 + BARS + 12, "missing")
    yield _text(LEFT, floor + BARS + 20, f"{low:.3g}", "start")
    yield _text(LEFT + PANEL_WIDTH, floor + BARS + 20, f"{high:.3g}", "end")
    yield _text(LEFT + PANEL_WIDTH / 2, floor + BARS + 20, "x: before")
    yield _text(4, TOP + 8, f"{top:.3g}", "start")
    yield _text(4, floor, f"{bottom:.3g}", "start")
    yield _text(4, TOP + PANEL_HEIGHT / 2, "y: after", "start")


def _shares(counts: np.ndarray) -> np.ndarray:
    """Roots, so that single values can be seen; from two fifths of all values on, a bar is as long as can be."""
    return np.minimum(1.0, np.sqrt(counts / max(1, counts.sum()) / 0.4)) * BARS


def _bars_down(counts: np.ndarray, left: float, top: float) -> str:
    step = PANEL_WIDTH / BINS
    return "".join(
        f"M{_px(left + i * step)} {_px(top)}h{_px(step)}v{_px(size)}h-{_px(step)}z"
        for i, size in enumerate(_shares(counts))
        if size
    )


def _bars_left(counts: np.ndarray, right: float, bottom: float) -> str:
    step = PANEL_HEIGHT / BINS
    return "".join(
        f"M{_px(right)} {_px(bottom - i * step)}v-{_px(step)}h-{_px(size)}v{_px(step)}z"
        for i, size in enumerate(_shares(counts))
        if size
    )


# ------------------------------------------------------------------------------------------ by sample: vectors and images

SIDE = 160


def _vectors(name: str) -> Iterator[str]:
    """Vectors of two numbers; in a color each, before and after."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False) + 0.13
    lengths = np.exp(0.6 * np.sin(5 * angles)) * 1.2
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    yield from _points(x, np.asarray(tfnorm.fit(x, choice_of(name)).transform(x)), (2.4, 1.2))


def _cloud() -> np.ndarray:
    """Vectors of two numbers that rise together."""
    angles, sizes = np.arange(60) * 2.399963, np.sqrt((np.arange(60) + 0.5) / 60)  # as sunflowers have them
    even = np.stack([np.cos(angles), np.sin(angles)], axis=1) * sizes[:, None]
    return np.asarray(even @ np.array([[4.6, 2.8], [0.4, 1.6]]))


def _points(x: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> Iterator[str]:
    """Vectors before and after, in a color each."""
    for left, points, limit, word in ((20, x, limits[0], "before"), (240, y, limits[1], "after")):
        middle = left + SIDE / 2, 10 + SIDE / 2
        yield f'<path class="a" d="M{left} {_px(middle[1])}h{SIDE}M{_px(middle[0])} 10v{SIDE}"/>'
        for i, (a, b) in enumerate(points):
            at = f'cx="{_px(middle[0] + a / limit * SIDE / 2)}" cy="{_px(middle[1] - b / limit * SIDE / 2)}"'
            yield f'<circle {at} r="4" fill="hsl({i * 360 // len(points)},60%,52%)"/>'
        yield _text(middle[0], SIDE + 28, f"{word}: -{limit:g} to {limit:g}")


def _images(name: str) -> Iterator[str]:
    """The same picture four times, pale, dark, of little contrast, and blank; the same grays mean the same numbers in a row."""
    row, column = np.mgrid[0:6, 0:6]
    form = np.cos(row * 0.9) * np.sin(column * 1.1 + 0.4)
    x = np.stack([200 + 50 * form, 60 + 55 * form, 128 + 12 * form, 128 + 0 * form])
    y = tfnorm.fit(x[:, None], choice_of(name)).transform(x[:, None])[:, 0]
    for top, images, (low, high), word in ((8, x, (0, 255), "before"), (108, y, (-2.5, 2.5), "after")):
        for i, image in enumerate(images):
            left = 10 + 82 * i
            cells: dict[int, list[str]] = {}
            for r, c in np.ndindex(image.shape):
                gray = int(np.clip((image[r, c] - low) / (high - low) * 7.999, 0, 7))
                cells.setdefault(gray, []).append(f"M{left + 12 * c} {top + 12 * r}h12v12h-12z")
            for gray, paths in sorted(cells.items()):
                yield f'<path fill="hsl(210,35%,{18 + 10 * gray}%)" d="{"".join(paths)}"/>'
        yield _text(342, top + 34, f"{word}:", "start")
        yield _text(342, top + 50, f"{low:g} to {high:g}", "start")


def _image() -> np.ndarray:
    """One picture of 8 x 8, (1, 8, 8, 1)."""
    row, column = np.mgrid[0:8, 0:8]
    return np.asarray(np.cos(row * 0.9) * np.sin(column * 1.1 + 0.4))[None, :, :, None]


def _cut(name: str) -> Iterator[str]:
    """A picture and its four patches, each a row of sixteen numbers; a color for each patch, lighter for larger numbers."""
    image = _image()
    rows = np.asarray(tfnorm.fit(image, "patches(4)").transform(image))[0].reshape(4, 16)
    whole, cut = (20, 270) if name == "patches" else (250, 20)

    def cell(left: float, top: float, size: float, patch: int, value: float) -> str:
        place = f'x="{_px(left)}" y="{_px(top)}" width="{_px(size)}" height="{_px(size)}"'
        return f'<rect {place} fill="hsl({patch * 90},45%,{30 + round(20 * (value + 1))}%)"/>'

    for r, c in np.ndindex(8, 8):
        yield cell(whole + 18 * c, 14 + 18 * r, 17, 2 * (r // 4) + c // 4, image[0, r, c, 0])
    for patch, k in np.ndindex(4, 16):
        yield cell(cut + 8 * k, 30 + 32 * patch, 7.5, patch, rows[patch, k])
    for left, word in ((whole + 72, "an image"), (cut + 64, "its patches, a row each")):
        yield _text(left, 178, word)


def settings_text(name: str) -> str:
    """The choice as it is written, where it is not the plain name."""
    return str(parse(choice_of(name))[0])
