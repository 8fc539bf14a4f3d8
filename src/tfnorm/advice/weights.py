"""What each measure weighs, by family of models.

The one law: numbers, no rules. Those of `linear`, `mlp` and `mlp` with a saturating activation come from training results
(`benchmarks/calibrate_advice.py`); the other families say below from which of these they are taken, and what differs.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfnorm.errors import ChoiceError
from tfnorm.sources.columns import did_you_mean

MODELS = ("mlp", "linear", "cnn", "rnn", "transformer", "knn", "trees")
ACTIVATIONS = (
    *(
        "celu",
        "elu",
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
    ),
    *(
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
    ),
    *("softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh"),
    *("tanh_shrink", "threshold"),
)
"""What Keras has."""
SATURATING = ("tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softsign", "sparse_sigmoid")
"""Of these, what is flat far out on both sides."""

REFERENCE = "standard"
"""What people take who ask nobody. It is left only where another technique's score is lower by the margin."""

LEAVING = "leaving"
"""The margin, as it stands beside the weights of the measures: added to every score but the reference's."""

FITTED: Mapping[str, dict[str, float]] = {
    "linear": {
        **{"offset": 0.0714, "narrow": 0.0104, "wide": 0.0200, "skewed": 0.0060, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0881, "squeezed": 0.1024, "tied": 0.1000, "moved_zero": 0.0040, "forgotten": 0.3000},
        **{"bent": 0.1721, "aside": 0.0000, "complexity": 0.0453},
    },
    "mlp": {
        **{"offset": 0.0343, "narrow": 0.0060, "wide": 0.0655, "skewed": 0.0186, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0526, "squeezed": 0.1177, "tied": 0.1000, "moved_zero": 0.0315, "forgotten": 0.3000},
        **{"bent": 0.1014, "aside": 0.0000, "complexity": 0.0954},
    },
    "saturating": {
        **{"offset": 0.0339, "narrow": 0.0060, "wide": 0.0211, "skewed": 0.0060, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0020, "squeezed": 0.1135, "tied": 0.1000, "moved_zero": 0.0040, "forgotten": 0.3000},
        **{"bent": 0.1324, "aside": 0.0000, "complexity": 0.0491},
    },
}
"""From training results, where no target is known; see docs/advice.md."""

WITH_TARGET: Mapping[str, dict[str, float]] = {
    "linear": {
        **{"offset": 0.0759, "narrow": 0.0060, "wide": 0.0363, "skewed": 0.0060, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0712, "squeezed": 0.0183, "tied": 0.1000, "moved_zero": 0.0040, "forgotten": 0.3000},
        **{"bent": 0.0970, "aside": 5.8651, "complexity": 0.0739},
    },
    "mlp": {
        **{"offset": 0.0349, "narrow": 0.0060, "wide": 0.0659, "skewed": 0.0088, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0523, "squeezed": 0.1089, "tied": 0.1000, "moved_zero": 0.0324, "forgotten": 0.3000},
        **{"bent": 0.0818, "aside": 0.8494, "complexity": 0.0957},
    },
    "saturating": {
        **{"offset": 0.0349, "narrow": 0.0060, "wide": 0.0213, "skewed": 0.0060, "tailed": 0.0020, "far": 0.0060},
        **{"farthest": 0.0020, "squeezed": 0.0773, "tied": 0.1000, "moved_zero": 0.0040, "forgotten": 0.3000},
        **{"bent": 0.1019, "aside": 2.0039, "complexity": 0.0601},
    },
}
"""From training results, where it is."""

MARGINS: Mapping[str, Mapping[str, float]] = {
    "linear": {LEAVING: 0.2, "bent": 0.25},
    "mlp": {LEAVING: 0.2, "bent": 0.25},
    "saturating": {LEAVING: 0.1, "bent": 0.25},
}
"""What is added where no target is known: nobody knows then whether it follows a column in a straight line."""

MARGINS_WITH_TARGET: Mapping[str, Mapping[str, float]] = {
    "linear": {LEAVING: 0.05, "bent": 0.1},
    "mlp": {"bent": 0.25},
    "saturating": {LEAVING: 0.02},
}
"""What is added where it is. Both from training results, after the weights; see docs/advice.md."""

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


def weights_for(model: str, activation: str | None, *, told: bool = False, named: bool = False) -> Mapping[str, float]:
    """The weights of a family; ChoiceError for a family that is not known.

    told: whether the target is measured against this column (never for vectors).
    named: whether there is a target to measure columns against.

    >>> weights_for("trees", None)["complexity"]
    1.0
    """
    if model not in MODELS:
        raise ChoiceError(f"model must be one of {', '.join(map(repr, MODELS))}, got {model!r}.")
    if activation is not None and not isinstance(activation, str):
        raise ChoiceError(f'activation must be the name of one ("relu", "tanh"), or None, got {activation!r}.')
    if activation is not None and activation not in ACTIVATIONS:
        raise ChoiceError(
            f"activation must be one that Keras has, got {activation!r}.{did_you_mean(activation, ACTIVATIONS)} For one of your "
            f"own, name what is most like it: {', '.join(ACTIVATIONS)}."
        )
    if model in OTHERS:
        return OTHERS[model]
    # a cnn and a transformer begin as an mlp does; the cells of an rnn saturate
    saturating = activation in SATURATING or (model == "rnn" and activation is None)
    family = "linear" if model == "linear" else "saturating" if saturating else "mlp"
    fitted = (WITH_TARGET if told else FITTED)[family]
    more = (MARGINS_WITH_TARGET if named else MARGINS)[family]
    return fitted | {name: fitted.get(name, 0.0) + value for name, value in more.items()}
