"""Fits the weights of the advice to training results: `python benchmarks/calibrate_advice.py --cache FILE`.

The one law: only the data sets of `advice_sets.CALIBRATE` are used.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from advice_sets import CALIBRATE, JUDGE, DataSet
from advice_training import MODELS, Cache, run

UNIFORM = (
    "identity", "standard", "minmax", "minmax(-1, 1)", "maxabs", "robust", "decimal", "signed_log", "signed_log, standard",
    "asinh, standard", "sqrt, standard", "yeo_johnson, standard", "quantile", "quantile, standard", "quantile(output='normal')",
    "winsorize, standard", "sigmoid, standard", "soft_clip, standard", "gaussianize", "l2", "l2, standard",
)  # fmt: skip


def uniform(data: DataSet) -> dict[str, dict[str, str]]:
    vector = any(values.ndim > 1 for values in data.columns.values())
    contenders = {text: text for text in UNIFORM if vector or not text.startswith("l2")}
    return dict.fromkeys(MODELS, contenders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--only", choices=["calibrate", "judge"], default="calibrate")
    arguments = parser.parse_args()
    cache = Cache(arguments.cache)
    for name, make in (CALIBRATE if arguments.only == "calibrate" else JUDGE).items():
        start = time.perf_counter()
        data = make()
        found = run(data, uniform, cache)
        print(name, f"{time.perf_counter() - start:.0f} s")
        for model, contenders in found.items():
            best = {text: losses.min(axis=1).mean() for text, losses in contenders.items()}
            line = sorted(best.items(), key=lambda pair: pair[1])
            print(
                "   ",
                model,
                ", ".join(f"{text}: {loss:.3f}" for text, loss in line[:4]),
                f"| standard {best['standard']:.3f} minmax {best['minmax']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
