"""How fast are the techniques, fitted and applied, against scikit-learn?

    python benchmarks/techniques.py

Fits read all values, as ours do; scikit-learn's QuantileTransformer by default takes 10,000 of them, which is told, too.
Transforms are fitted on the first 4,096 rows, where quantiles are exact and both must give the same numbers. Where one call
of NumPy is all the work (log1p, sqrt, clip), two threads can at best be twice as fast as its one. What is left of straight lines
is mostly the system clearing the result's pages, for all alike: with out=, which is told, these are used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import Contestant, DifferentError, Report

FIT_ROWS = 4096
Make = Callable[[], Any]  # a peer, not yet fitted


@dataclass(frozen=True)
class Race:
    """One technique against the peer that does the same."""

    choice: str
    peer: Make
    wanted: float | None  # times as fast; None where it is told and not judged
    positive: bool = False  # whether it is for numbers above 0
    normal: bool = (
        False  # the extremes of the peer's normal output are -5.2 and 5.2 whatever there is: they are not compared
    )


def transforms() -> list[Race]:
    from sklearn import preprocessing as peers

    def function(of: Callable[..., Any], **settings: Any) -> Make:
        return lambda: peers.FunctionTransformer(of, kw_args=settings)

    return [
        Race("minmax", peers.MinMaxScaler, 2),
        Race("standard", peers.StandardScaler, 2),
        Race("maxabs", peers.MaxAbsScaler, 2),
        Race("robust", peers.RobustScaler, 2),
        Race("yeo_johnson", lambda: peers.PowerTransformer(standardize=False), 2),
        Race("box_cox", lambda: peers.PowerTransformer("box-cox", standardize=False), 2, positive=True),
        Race("quantile", lambda: peers.QuantileTransformer(n_quantiles=1000, subsample=None), 2),
        Race(
            "quantile('normal')",
            lambda: peers.QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=None),
            2,
            normal=True,
        ),
        Race("log1p", function(np.log1p), None, positive=True),
        Race("sqrt", function(np.sqrt), None, positive=True),
        Race("clip(-1, 1)", function(np.clip, a_min=-1, a_max=1), None),
        Race("l1", lambda: peers.Normalizer("l1"), 2),
        Race("l2", lambda: peers.Normalizer("l2"), 2),
        Race("linf", lambda: peers.Normalizer("max"), 2),
    ]


OURS, PEERS = 1e-5, 1e-4  # tolerances; the peers' curves lose a digit in float32
NORMAL = (
    0.05  # our normal output has more quantiles in the tails than the peer's: between two, another answer is no error
)


def near(expected: np.ndarray, within: float, *, normal: bool) -> Callable[[np.ndarray], str]:
    """A check of the first rows against the peer's answer in float64."""

    def check(answer: np.ndarray) -> str:
        error = np.abs(answer[: len(expected)] - expected) / (1 + np.abs(expected))
        worst = float(error[np.abs(expected) < 3].max() if normal else error.max())
        if not worst <= (NORMAL if normal else within):
            raise DifferentError(f"off by {worst:.1e} of 1 + |y|")
        return f"off by {worst:.1e} of 1 + |y|"

    return check


def race_transform(report: Report, race: Race, x: np.ndarray) -> None:
    import tfnorm

    fitted, peer = tfnorm.fit(x[:FIT_ROWS], race.choice), race.peer().fit(x[:FIT_ROWS])
    double = x[:FIT_ROWS].astype(np.float64)
    expected = race.peer().fit(double).transform(double)
    check, of_peer = (near(expected, within, normal=race.normal) for within in (OURS, PEERS))
    ours, theirs = f"transform({race.choice})", f"{type(peer).__name__}.transform"
    used = np.zeros_like(x)  # memory that was written before
    section = report.race(
        f"{race.choice}, {x.shape[0]:,} x {x.shape[1]}, {x.dtype}",
        f"{'exp ' if race.positive else ''}N(mean_i, sd_i), {x.nbytes / 1e9:.3g} GB in memory; GB/s are those read",
        [
            Contestant(ours, lambda: fitted.transform(x), check),
            Contestant(theirs, lambda: peer.transform(x), of_peer),
            Contestant(f"{ours}, out=", lambda: fitted.transform(x, out=used), check),
        ],
        gigabytes=x.nbytes / 1e9,
    )
    if race.wanted:
        report.faster(section, ours, theirs, race.wanted)


def same_quantiles(x: np.ndarray, *, within: float) -> Callable[[Any], str]:
    """A check of a quantile curve, ours or the peer's, by the true ranks of nine of its values."""
    ordered = np.sort(x[:, 0])
    asked = np.linspace(0.1, 0.9, 9)

    def check(fitted: Any) -> str:
        values = np.asarray(fitted.inverse(asked[:, None]) if hasattr(fitted, "inverse") else
                            fitted.inverse_transform(asked[:, None]))[:, 0]  # fmt: skip
        worst = float(np.max(np.abs(np.searchsorted(ordered, values) / len(ordered) - asked)))
        if not worst <= within:
            raise DifferentError(f"off by {worst:.1e} in rank")
        return f"off by {worst:.1e} in rank"

    return check


def same_lambda(exact: float) -> Callable[[Any], str]:
    def check(fitted: Any) -> str:
        found = float(fitted.lambdas_[0] if hasattr(fitted, "lambdas_") else fitted.maps["x"].bend[0])
        if not abs(found - exact) <= 2e-3:
            raise DifferentError(f"lambda {found:.5f}, SciPy's is {exact:.5f}")
        return f"lambda off by {abs(found - exact):.1e}"

    return check


def same_range(x: np.ndarray) -> Callable[[Any], str]:
    """A check of median and quartiles' distance, in units of that distance."""
    low, middle, high = np.quantile(x[:, 0].astype(np.float64), [0.25, 0.5, 0.75])

    def check(fitted: Any) -> str:
        of_peer = hasattr(fitted, "center_")
        found = (fitted.center_[0], fitted.scale_[0]) if of_peer else _center_and_scale(fitted)
        worst = max(abs(found[0] - middle), abs(found[1] - (high - low))) / (high - low)
        if not worst <= 0.01:
            raise DifferentError(f"off by {worst:.1e} of the quartiles' distance")
        return f"off by {worst:.1e} of the quartiles' distance"

    return check


def _center_and_scale(fitted: Any) -> tuple[float, float]:
    step = fitted.maps["x"]
    return float(step.center[0]), float(1 / step.scale[0])


def race_fits(report: Report, x: np.ndarray, rounds: int) -> None:
    from scipy.stats import yeojohnson_normmax
    from sklearn.preprocessing import PowerTransformer, QuantileTransformer, RobustScaler

    import tfnorm

    sample = QuantileTransformer(n_quantiles=1000)
    races: list[tuple[str, Make, Callable[[Any], str], list[Contestant]]] = [
        ("robust", RobustScaler, same_range(x), []),
        ("yeo_johnson", lambda: PowerTransformer(standardize=False), same_lambda(yeojohnson_normmax(x[:, 0])), []),
        (
            "quantile",
            lambda: QuantileTransformer(n_quantiles=1000, subsample=None),
            same_quantiles(x, within=0.002),
            [Contestant("QuantileTransformer.fit, 10,000 values", lambda: sample.fit(x), same_quantiles(x, within=0.05))],
        ),
    ]  # fmt: skip
    for choice, make, check, others in races:
        ours, theirs = f"fit({choice})", f"{type(make()).__name__}.fit"
        section = report.race(
            f"fit {choice}, {len(x):,} values",
            f"{x.dtype} lognormal, {x.nbytes / 1e9:.3g} GB in memory",
            [
                Contestant(ours, lambda choice=choice: tfnorm.fit(x, choice), check),
                Contestant(theirs, lambda make=make: make().fit(x), check),
                *others,
            ],
            gigabytes=x.nbytes / 1e9,
            rounds=rounds,
        )
        report.faster(section, ours, theirs, 10)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--values", type=int, default=10_000_000, help="in the column that is fitted")
    parser.add_argument("--fit-rounds", type=int, default=3, help="counted rounds of the fits")
    parser.add_argument("--rows", type=int, default=500_000, help="of what is transformed")
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument("--only", nargs="+", help="these: fits, or what is transformed with")
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    if not arguments.only or "fits" in arguments.only:
        random = np.random.default_rng(0)
        race_fits(report, random.lognormal(0.0, 0.5, (arguments.values, 1)), arguments.fit_rounds)
    for dtype in arguments.dtype:
        x = common.normal(arguments.rows, arguments.columns, np.dtype(dtype))
        positive = np.exp(x / (1 + np.abs(x).max(axis=0) / 8))
        for race in transforms():
            if not arguments.only or race.choice in arguments.only:
                race_transform(report, race, positive if race.positive else x)
    report.finish()


if __name__ == "__main__":
    main()
