"""What is tried in every exit: each technique of the registry, chains, marks and keys, on real numbers with gaps."""

from __future__ import annotations

import numpy as np

import tfnorm

SETTINGS = {
    "clip": "clip(2, 9)",
    "power": "power(3)",
    "soft_clip": "soft_clip(3)",
    "patches": "patches(2)",
    "join_patches": "join_patches(2)",
}
MORE = ["impute(indicator=True)", "log1p, standard", "winsorize, minmax(-1, 1)", "quantile('normal')", "standard, l2"]
CHOICES = [*(SETTINGS.get(name, name) for name in tfnorm.TECHNIQUES), *MORE]
EXITS = ["layer", "builtin", "folder", "tflite", "onnx"]


def rows(choice: str) -> np.ndarray:
    """Numbers above 0, which all techniques take; images where it cuts them."""
    shape = {"patches(2)": (40, 4, 4, 3), "join_patches(2)": (40, 2, 2, 8)}.get(choice, (400, 3))
    return np.random.default_rng(3).gamma(2, 3, shape).astype(np.float32) + np.float32(0.5)


def with_gaps(values: np.ndarray) -> np.ndarray:
    gaps = values.copy()
    gaps.reshape(-1)[[3, 17, 40]] = np.nan
    return gaps


BY_KEY = ["standard.by('store')", "standard.by('size')"]  # of text, of whole numbers


def keyed() -> dict[str, np.ndarray]:
    """Prices of stores, each with its own scale."""
    random = np.random.default_rng(4)
    size = np.arange(400) % 4
    store = np.array(["north", "south", "east", "west"])[size]
    return {"store": store, "size": size, "price": random.gamma(2, 3, 400) * (1 + size)}
