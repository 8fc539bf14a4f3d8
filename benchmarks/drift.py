"""How often does a check cry wolf, and does it see what it should?

Clean batches: data of the fit's own distribution, 100 to 100,000 rows, in many shapes: continuous, tied, discrete, zero-inflated,
heavy-tailed, clustered, some missing. Moved batches: the same by 0.3 deviations, in 10,000 rows.

    python benchmarks/drift.py --batches 1000
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tfnorm

Draw = Callable[[np.random.Generator, int], np.ndarray]


def _some_missing(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))


SHAPES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "lognormal": lambda rng, n: rng.lognormal(sigma=1.5, size=n),
    "Student t, 3": lambda rng, n: rng.standard_t(3, n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "two clusters": lambda rng, n: rng.normal(size=n) + 1000.0 * rng.integers(0, 2, n),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "coin": lambda rng, n: rng.integers(0, 2, n),
    "rare event": lambda rng, n: (rng.random(n) < 0.01).astype(np.int64),
    "Poisson 3": lambda rng, n: rng.poisson(3.0, n),
    "90 % zeros": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.lognormal(size=n)),
    "20 % missing": _some_missing,
}
DEVIATION = {
    "uniform": 12**-0.5,
    "lognormal": None,
    "Cauchy": None,
    "two clusters": 500.0,
    "coin": None,
    "rare event": None,
}
"""Of what is moved, where it is not 1 and where it can be moved."""


def sizes(rng: np.random.Generator, number: int) -> np.ndarray:
    """Numbers of rows from 100 to 100,000, evenly over the orders of magnitude."""
    return np.exp(rng.uniform(np.log(100), np.log(100_000), number)).astype(int)


def false_alarms(shape: str, batches: int, rows_of_fit: int, *, full: bool, seed: int) -> dict[str, list[bool]]:
    """By decade of rows, whether each clean batch raised an alarm. An unlucky fit would be one with all its batches, so there is
    a fit for each of them; every 50 another one, where it has so many rows that luck has no part in it."""
    rng, draw = np.random.default_rng(seed), SHAPES[shape]
    found: dict[str, list[bool]] = {}
    for i, rows in enumerate(sizes(rng, batches)):
        if i % 50 == 0 or rows_of_fit < 10_000:
            fitted = tfnorm.fit({"x": draw(rng, rows_of_fit)}, "standard", full=full)
        drifted = tfnorm.check(fitted, {"x": draw(rng, int(rows))}, workers=1).drifted
        found.setdefault(f"{10 ** int(np.log10(rows)):,}", []).append(drifted)
    return found


def detected(shape: str, batches: int, rows_of_fit: int, seed: int, rows: int = 10_000, by: float = 0.3) -> float:
    """The share of batches, moved by so many deviations, that raised an alarm."""
    rng, draw = np.random.default_rng(seed), SHAPES[shape]
    moved = by * (DEVIATION.get(shape) or float(np.nanstd(draw(rng, 1_000_000))))
    fitted = tfnorm.fit({"x": draw(rng, rows_of_fit)}, "standard", full=True)
    seen = [tfnorm.check(fitted, {"x": draw(rng, rows) + moved}, workers=1).drifted for _ in range(batches)]
    return float(np.mean(seen))


def wide(batches: int, columns: int, seed: int) -> tuple[float, float]:
    """Of checks of so many columns, the share with any alarm when clean, and the share that finds the one that moved by 0.3."""
    rng, draws = np.random.default_rng(seed), list(SHAPES.values())
    fitted = tfnorm.fit({str(j): draws[j % len(draws)](rng, 20_000) for j in range(columns)}, "standard", full=True)
    alarms, finds = [], []
    for rows in sizes(rng, batches):
        data = {str(j): draws[j % len(draws)](rng, int(rows)) for j in range(columns)}
        alarms.append(tfnorm.check(fitted, data).drifted)
    for _ in range(max(1, batches // 5)):
        data = {str(j): draws[j % len(draws)](rng, 10_000) + 0.3 * (j == 0) for j in range(columns)}
        finds.append([one.name for one in tfnorm.check(fitted, data).columns if one.drifted] == ["0"])
    return float(np.mean(alarms)), float(np.mean(finds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=1000, help="of each shape")
    parser.add_argument("--wide-batches", type=int, default=100)
    parser.add_argument("--columns", type=int, default=200, help="of the wide checks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    started, results = time.monotonic(), {}
    for title, rows_of_fit, full in (
        ("fit of 50,000 rows", 50_000, True),
        ("fit of 500 rows", 500, True),
        ("fit of 50,000 rows without sketches", 50_000, False),
    ):
        print(f"false alarms, {title}, {options.batches:,} clean batches of one column a shape, by rows")
        decades = ("100", "1,000", "10,000")
        print(f"{'shape':14}  {'all':>6}  " + "  ".join(f"{'from ' + decade:>12}" for decade in decades))
        for shape in SHAPES:
            found = false_alarms(shape, options.batches, rows_of_fit, full=full, seed=options.seed)
            rate = float(np.mean([one for several in found.values() for one in several]))
            parts = "  ".join(f"{np.mean(found.get(decade, [0])):>12.2%}" for decade in decades)
            print(f"{shape:14}  {rate:>6.2%}  {parts}{'' if rate < 0.01 else '  MISSED'}", flush=True)
            results[f"false alarms, {title}, {shape}"] = rate
        print()
    print("found: a shift of 0.3 deviations in 10,000 rows, fit of 50,000 rows")
    for shape in SHAPES:
        if shape in DEVIATION and DEVIATION[shape] is None:
            continue
        rate = detected(shape, max(1, options.batches // 2), 50_000, options.seed + 1)
        print(f"{shape:14}  {rate:>6.1%}{'' if rate >= 0.99 else '  MISSED'}", flush=True)
        results[f"found, {shape}"] = rate
    alarms, finds = wide(options.wide_batches, options.columns, options.seed + 2)
    print(
        f"\n{options.columns} columns: {alarms:.1%} of clean checks raise any alarm; {finds:.1%} find the one that moved, alone"
    )
    results |= {"wide, any alarm": alarms, "wide, found": finds}
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
