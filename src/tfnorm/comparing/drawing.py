"""The picture of a comparison: loss over steps, a line a contender with a band over its seeds.

The one law: what is drawn is what the table says, in the table's order.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.comparing.numbers import short
from tfnorm.comparing.values import NONE, Comparison, Contender
from tfnorm.errors import DataError
from tfnorm.sources.columns import cell
from tfnorm.writing import write_atomically

RAW = "#6b6b6b"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#3a9bd1", "#c98500", "#a08a00", "#332288", "#882255")
"""Near Okabe and Ito's, which people of any color vision tell apart, and two of Tol's; dark enough for text."""
STYLES = ("-", "--", "-.", ":")
ENDS = (".png", ".svg")
FAR = 6.0  # times a constant guess: beyond it a curve is not worth the room that it would take from the others


def draw(found: Comparison, path: Any = None) -> Any:
    """Write it where there is a path (.png or .svg); else the matplotlib figure."""
    if path is not None and Path(path).suffix.lower() not in ENDS:
        raise DataError(f"{path}: a picture's name ends with {' or '.join(ENDS)}.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, NullFormatter
    except ImportError as error:
        raise ImportError(
            "the picture needs matplotlib, which is not installed: pip install 'tfnorm[demo]'."
        ) from error
    figure = Figure(figsize=(9, 5.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    later = found.marks > 0  # 0 has no place on a logarithmic axis
    marks = found.marks[later]
    ends: list[tuple[float, str, str]] = []
    colors = iter(range(10**6))
    low, high = _limits(found)
    for place, one in enumerate(found.contenders):
        at = 0 if one.technique == NONE else next(colors)
        color = RAW if one.technique == NONE else COLORS[at % len(COLORS)]
        style = STYLES[at // len(COLORS) % len(STYLES)]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            shown = np.where(np.isfinite(one.losses), one.losses, np.nan)[:, later]
            middle, bottom, top = np.nanmean(shown, axis=0), np.nanmin(shown, axis=0), np.nanmax(shown, axis=0)
        width = 2.4 if place == 0 else 1.5
        axes.fill_between(marks, bottom, np.minimum(top, 10 * high), color=color, alpha=0.1, linewidth=0)
        axes.plot(marks, middle, style, color=color, linewidth=width, zorder=3 + (place == 0), solid_capstyle="round")
        known = middle[np.isfinite(middle)]
        ends.append((float(np.clip(known[-1], low, high)) if len(known) else high, _label(one, one.loss > high), color))
    axes.axhline(found.baseline, color="#999999", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    ends.append((float(np.clip(found.baseline, low, high)), f"a constant guess  {short(found.baseline)}", "#777777"))
    axes.set(xscale="log", yscale="log", xlim=(marks[0], marks[-1]), ylim=(low, high))
    axes.set_xlabel("training steps")
    axes.set_ylabel(f"validation loss ({found.metric.partition(' in training')[0]})")
    title = f"Predicting {cell(found.target, 40)}: {found.model}, mean and range over {len(found.seeds)} seeds"
    axes.set_title(title.replace("$", r"\$"), loc="left", size=12)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value < 1 else f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if high / low < 30:
        axes.yaxis.set_major_locator(_ticks(low, high))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", color="#999999", labelcolor="#444444")
    for height, (real, label, color) in zip(_apart([end for end, _, _ in ends], low, high), ends, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 1, "relpos": (0, 0.5)}
        axes.annotate(
            label.replace("$", r"\$"),
            (marks[-1], real),
            (1.04, height),
            xycoords="data",
            textcoords="axes fraction",
            va="center",
            color=color,
            size=9,
            arrowprops=arrow,
            annotation_clip=False,
        )
    figure.get_layout_engine().set(rect=(0, 0, 0.985, 1))  # type: ignore[union-attr, call-arg]  # the labels' last letters
    if path is not None:
        _write(figure, path)
    return figure


def _write(figure: Any, path: Any) -> None:
    end, data = Path(path).suffix.lower()[1:], io.BytesIO()
    figure.savefig(data, format=end, dpi=150, metadata={"Date": None} if end == "svg" else None)
    write_atomically(path, data.getvalue())


def _label(one: Contender, beyond: bool) -> str:
    name = "none (raw features)" if one.technique == NONE else cell(one.technique, 30)
    return f"{name}  {'diverged' if one.diverged.any() else short(one.loss)}{' ↑' if beyond else ''}"


def _limits(found: Comparison) -> tuple[float, float]:
    """From below the lowest loss to above a constant guess and where most end: raw features may begin in the millions, and
    what ends far above is told at the upper edge."""
    every = np.concatenate([one.losses[:, 1:].ravel() for one in found.contenders])
    every = every[np.isfinite(every) & (every > 0)]
    if not len(every):
        return 0.1, 10.0
    low = float(min(every.min(), found.baseline))
    ends = [one.loss for one in found.contenders if one.loss < FAR * found.baseline]
    begins = [one.curve[1] for one in found.contenders if np.isfinite(one.curve[1]) and one.technique != NONE]
    high = max([found.baseline, *ends, *(min(begin, 3 * found.baseline) for begin in begins)])
    return low / 1.12, 1.4 * high


def _ticks(low: float, high: float) -> Any:
    """Round numbers at about even distances, where a logarithmic axis spans hardly a power of ten."""
    from matplotlib.ticker import FixedLocator

    tens = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    narrow = high / low < 3
    digits = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9) if narrow else (1, 2, 3, 5, 7)
    return FixedLocator([digit * ten for ten in tens for digit in digits if low <= digit * ten <= high])


def _apart(ends: list[float], low: float, high: float) -> list[float]:
    """Where labels stand, as shares of the axis' height: at the ends of their lines, moved so that none lies on another."""
    gap = 0.052
    at = (np.log(ends) - np.log(low)) / (np.log(high) - np.log(low))
    order = np.argsort(at, kind="stable")
    placed = at[order].copy()
    for _ in range(200):  # push neighbors apart by half of what they lack, until nothing moves
        lacking = gap - np.diff(placed)
        if (lacking <= 1e-6).all():
            break
        for i in np.flatnonzero(lacking > 0):
            missing = gap - (placed[i + 1] - placed[i])
            if missing > 0:
                placed[i] -= missing / 2
                placed[i + 1] += missing / 2
        placed[0] = max(placed[0], 0.01)
    found = np.empty(len(placed))
    found[order] = placed
    return found.tolist()
