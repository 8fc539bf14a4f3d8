"""Products of what sparse rows store in two places at once: as many steps as there are such pairs, not as there are features.

With x = a + c where something is stored and 0 where nothing is, c near the mean of what is stored, the products about the mean
are made of sums over what is stored together: of a * a, of each a alone, and of how often. Nothing large is taken off anything
large, whatever the offset.
"""

from __future__ import annotations

import math

import numpy as np

from tfnorm.kernels.moments import entry, kernel

SMALLEST = -1000  # the exponent of what is all zeros, as `covariance` has it


@kernel
def _exponents(values, places, starts, own, exponent):
    """The k of each feature with |x| <= 2**k for all that is stored."""
    largest = np.zeros(len(exponent))
    for row in own:
        for i in range(starts[row], starts[row + 1]):
            largest[places[i]] = max(largest[places[i]], abs(values[i]))
    for j in range(len(exponent)):
        exponent[j] = max(np.int64(math.frexp(largest[j])[1]), SMALLEST) if largest[j] > 0.0 else SMALLEST


@kernel
def _centers(values, places, starts, own, weight, unit, center):
    """The mean of what each feature stores, in its unit; the value itself where there is but one."""
    total, sums, known = np.zeros(len(center)), np.zeros(len(center)), np.zeros(len(center), np.bool_)
    for row in own:
        w = weight[row] if len(weight) > 0 else 1.0
        for i in range(starts[row], starts[row + 1]):
            j, x = places[i], values[i] * unit[places[i]]
            if not known[j]:
                known[j], center[j] = True, x
            total[j] += w
            sums[j] += w * (x - center[j])
    for j in range(len(center)):
        if known[j]:
            center[j] += sums[j] / total[j]


@entry
def of_groups(values, places, starts, rows, first, weight, found, exponent, products):
    """Of rows that store `values` at `places` (rising within a row) from starts[row] on: the covariance of each group of them.

    Group g has `rows` from first[g] up to first[g + 1], all of them finite and of a weight above 0; `weight` (rows,) is empty
    where each counts once. Filled in: `found` (3, groups, features), weight and mean in two parts; `exponent` (groups, features);
    `products` (groups, pairs), of each feature with itself and the later ones.
    """
    features, groups = found.shape[2], len(first) - 1
    unit, center = np.empty(features), np.empty(features)
    begin = np.empty(features, np.int64)  # where a feature's products would begin with feature 0
    for j in range(features):
        begin[j] = j * features - j * (j + 1) // 2
    alone = np.empty((features, features))  # of a where the other one is stored, too
    often = np.empty(products.shape[1])  # how often both are
    for g in range(groups):
        own, pairs = rows[first[g] : first[g + 1]], products[g]
        center[:], alone[:], often[:], pairs[:] = 0.0, 0.0, 0.0, 0.0
        _exponents(values, places, starts, own, exponent[g])
        for j in range(features):
            unit[j] = np.ldexp(1.0, -exponent[g, j])
        _centers(values, places, starts, own, weight, unit, center)
        total = 0.0
        for row in own:
            w = weight[row] if len(weight) > 0 else 1.0
            total += w
            for i in range(starts[row], starts[row + 1]):
                one = places[i]
                a = values[i] * unit[one] - center[one]
                often[begin[one] + one] += w
                alone[one, one] += w * a
                pairs[begin[one] + one] += w * a * a
                for k in range(i + 1, starts[row + 1]):
                    other = places[k]
                    b = values[k] * unit[other] - center[other]
                    often[begin[one] + other] += w
                    alone[one, other] += w * a
                    alone[other, one] += w * b
                    pairs[begin[one] + other] += w * a * b
        if total == 0.0:
            found[:, g] = 0.0
            continue
        for one in range(features):
            held, rest = often[begin[one] + one], alone[one, one]
            mean = center[one] * (held / total)
            found[0, g, one] = total
            found[1, g, one] = mean + rest / total
            found[2, g, one] = (mean - found[1, g, one]) + rest / total
            for other in range(one, features):
                at, held_too, rest_too = begin[one] + other, often[begin[other] + other], alone[other, other]
                together = (often[at] * total - held * held_too) / total  # of counts exactly
                pairs[at] += (
                    center[other] * (alone[one, other] - rest * (held_too / total))
                    + center[one] * (alone[other, one] - rest_too * (held / total))
                    + center[one] * center[other] * together
                    - rest * rest_too / total
                )
            pairs[begin[one] + one] = max(pairs[begin[one] + one], 0.0)
