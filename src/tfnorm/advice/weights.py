"""What each measure weighs, by family of models.

The one law: numbers, no rules. Those of `linear`, `mlp` and `mlp` with a saturating activation come from training results
(`benchmarks/calibrate_advice.py`); the other families say below from which of these they are taken, and what differs.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfnorm.errors import ChoiceError

MODELS = ("mlp", "linear", "cnn", "rnn", "transformer", "knn", "trees")
SATURATING = ("tanh", "sigmoid", "hard_sigmoid", "softsign")

FITTED: Mapping[str, Mapping[str, float]] = {
    "linear": {
        "offset": 0.0698,
        "narrow": 0.0112,
        "wide": 0.0200,
        "skewed": 0.0060,
        "tailed": 0.0020,
        "far": 0.0147,
        "farthest": 0.0812,
        "squeezed": 0.0904,
        "tied": 0.1308,
        "moved_zero": 0.0040,
        "forgotten": 0.3000,
        "bent": 0.1777,
        "complexity": 0.0435,
    },
    "mlp": {
        "offset": 0.0343,
        "narrow": 0.0060,
        "wide": 0.0635,
        "skewed": 0.0224,
        "tailed": 0.0020,
        "far": 0.0143,
        "farthest": 0.0468,
        "squeezed": 0.1038,
        "tied": 0.1000,
        "moved_zero": 0.0278,
        "forgotten": 0.3000,
        "bent": 0.1046,
        "complexity": 0.0962,
    },
    "saturating": {
        "offset": 0.0337,
        "narrow": 0.0060,
        "wide": 0.0216,
        "skewed": 0.0078,
        "tailed": 0.0020,
        "far": 0.0060,
        "farthest": 0.0020,
        "squeezed": 0.1049,
        "tied": 0.1093,
        "moved_zero": 0.0040,
        "forgotten": 0.3000,
        "bent": 0.1301,
        "complexity": 0.0510,
    },
}
"""From training results; see docs/advice.md."""

OTHERS: Mapping[str, Mapping[str, float]] = {
    # distances: scales must be equal, nothing far, nothing lost; where the middle lies is the same to all
    "knn": {
        **{"narrow": 0.2, "wide": 0.2, "skewed": 0.05, "tailed": 0.05, "far": 0.1, "farthest": 0.02, "squeezed": 0.1},
        **{"tied": 0.5, "bent": 0.02, "complexity": 0.02},
    },
    # splits see order only: what keeps it apart is as good as what came, and costs
    "trees": {"tied": 1.0, "forgotten": 1.0, "complexity": 1.0},
}
"""By reasoning, not from training results."""


def weights_for(model: str, activation: str | None) -> Mapping[str, float]:
    """The weights of a family; ChoiceError for one that is not known.

    >>> weights_for("trees", None)["complexity"]
    1.0
    """
    if model not in MODELS:
        raise ChoiceError(f"model must be one of {', '.join(map(repr, MODELS))}, got {model!r}.")
    if activation is not None and not isinstance(activation, str):
        raise ChoiceError(f'activation must be the name of one ("relu", "tanh"), or None, got {activation!r}.')
    if model in OTHERS:
        return OTHERS[model]
    if model == "linear":
        return FITTED["linear"]
    # a cnn and a transformer begin as an mlp does; the cells of an rnn saturate
    saturating = activation in SATURATING or (model == "rnn" and activation is None)
    return FITTED["saturating" if saturating else "mlp"]
