"""How fast is transform on an array in memory, against scikit-learn?

    python benchmarks/transform.py

Both are fitted on the first 4,096 rows, where quantiles are exact and both must give the same numbers. New memory is cleared by
the system page by page as it is written; with out= it is used again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import Contestant, DifferentError, Report

FIT_ROWS = 4096
WANTED = {"standard": 3.0}  # times as fast; the others are told and not judged


def same_as(expected: np.ndarray) -> Callable[[np.ndarray], str]:
    """A check of some of the rows against the formula in float64."""

    def check(answer: np.ndarray) -> str:
        if answer.dtype != np.float32:
            raise DifferentError(f"float32 came and {answer.dtype} went")
        error = float(np.max(np.abs(answer[: len(expected)] - expected) / (1 + np.abs(expected))))
        if not error <= 1e-5:
            raise DifferentError(f"off by {error:.1e} of 1 + |z|")
        return f"off by {error:.1e} of 1 + |z|"

    return check


def exactly(x: np.ndarray) -> dict[str, np.ndarray]:
    """What each technique must give, in float64, from the formulas."""
    x = x.astype(np.float64)
    fitted = x[:FIT_ROWS]
    low, middle, high = np.quantile(fitted, [0.25, 0.5, 0.75], axis=0)
    return {
        "standard": (x - fitted.mean(axis=0)) / fitted.std(axis=0),
        "minmax": (x - fitted.min(axis=0)) / np.ptp(fitted, axis=0),
        "robust": (x - middle) / (high - low),
        "l2": x / np.linalg.norm(x, axis=1, keepdims=True),
    }


def race(report: Report, technique: str, scaler: Any, x: np.ndarray, expected: np.ndarray) -> None:
    import tfnorm

    fitted, peer = tfnorm.fit(x[:FIT_ROWS], technique), scaler.fit(x[:FIT_ROWS])
    ours, theirs = f"transform({technique})", f"{type(scaler).__name__}.transform"
    again, used = f"{ours}, out=", np.zeros_like(x)  # memory that was written before
    section = report.race(
        f"{technique}, {x.shape[0]:,} x {x.shape[1]}",
        f"{x.dtype} N(mean_i, sd_i), {x.nbytes / 1e9:.3g} GB in memory; GB/s are those read",
        [
            Contestant(ours, lambda: fitted.transform(x), same_as(expected)),
            Contestant(again, lambda: fitted.transform(x, out=used), same_as(expected)),
            Contestant(theirs, lambda: peer.transform(x), same_as(expected)),
        ],
        gigabytes=x.nbytes / 1e9,
    )
    if technique in WANTED:
        report.faster(section, ours, theirs, WANTED[technique])
        report.faster(section, again, theirs, WANTED[technique])


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=64)
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler

    report = Report(Path(__file__).name, arguments)
    x = common.normal(arguments.rows, arguments.columns)
    expected = exactly(x[: 4 * FIT_ROWS])
    peers = {"standard": StandardScaler(), "minmax": MinMaxScaler(), "robust": RobustScaler(), "l2": Normalizer()}
    for technique, scaler in peers.items():
        race(report, technique, scaler, x, expected[technique])
    report.finish()


if __name__ == "__main__":
    main()
