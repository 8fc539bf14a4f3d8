"""What chance alone does to samples of the same distribution.

The one law: each bound is exceeded with a probability of at most `level` when nothing has drifted, whatever the distribution:
continuous, tied, discrete or with heavy tails.

n and m are how many values of the new data and of the fit are independent of each other.
"""

from __future__ import annotations

import math

import numpy as np


def ks_noise(n: float, m: float, level: float) -> float:
    """What the Kolmogorov-Smirnov distance stays below: sqrt(ln(2 / level) / 2 * (1/n + 1/m)).

    Dvoretzky, Kiefer & Wolfowitz's inequality with Massart's constant (1990); for two samples as Wei & Dudley (2012) have
    it. Ties make the distance smaller.

    >>> round(ks_noise(100, 1e9, 0.05), 3)  # the table of Kolmogorov's test: 1.358 / sqrt(100)
    0.136
    """
    return math.sqrt(math.log(2.0 / level) / 2.0 * (1.0 / n + 1.0 / m))


def psi_expected(bins: int, n: float, m: float) -> float:
    """PSI on the mean: (bins - 1)(1/n + 1/m). Under no drift PSI / (1/n + 1/m) is chi-squared (Yurdakul 2018)."""
    return (bins - 1) * (1.0 / n + 1.0 / m)


def psi_noise(bins: int, n: float, m: float, level: float) -> float:
    """What PSI stays below: (1/n + 1/m)(k + 2 sqrt(k x) + 2 x), k = bins - 1, x = ln(1 / level).

    The tail of the chi-squared distribution as Laurent & Massart (2000, lemma 1) bound it.
    """
    k, x = bins - 1, math.log(1.0 / level)
    return (1.0 / n + 1.0 / m) * (k + 2.0 * math.sqrt(k * x) + 2.0 * x)


def share_bounds(share: float, n: float, level: float) -> tuple[float, float]:
    """Between which limits the share of a population lies of which `share` was seen in n: n KL(share | limit) = ln(2 / level).

    Chernoff's bound, which holds for every n and share.
    """
    limit = math.log(2.0 / level) / n

    def end(inner: float, outer: float) -> float:
        for _ in range(60):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if _divergence(share, middle) <= limit else (inner, middle)
        return outer

    return end(share, 0.0), end(share, 1.0)


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of one share from another."""
    if q <= 0.0 or q >= 1.0:
        return 0.0 if p == q else math.inf
    found = p * math.log(p / q) if p > 0 else 0.0
    return found + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def exceeding(k: float, n: float, m: float) -> float:
    """How probable it is that k of n values or more are above the largest of m others of the same distribution:
    n! (n+m-k)! / ((n-k)! (n+m)!), since the k largest of all are then among the n. Exact where no values are equal, else less.

    >>> round(exceeding(1, 1, 1), 6), round(exceeding(2, 10, 90), 6)
    (0.5, 0.009091)
    """
    if k <= 0:
        return 1.0
    log = math.lgamma(n + 1) + math.lgamma(n + m - k + 1) - math.lgamma(n - k + 1) - math.lgamma(n + m + 1)
    return float(np.exp(min(log, 0.0)))


def deviations(level: float) -> float:
    """How many standard errors a mean stays within: sqrt(2 ln(2 / level)), the normal tail's bound."""
    return math.sqrt(2.0 * math.log(2.0 / level))
