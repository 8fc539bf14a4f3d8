"""The data of `accuracy.py`: small columns on which means, deviations, scaling or quartiles go wrong, and what is exact.

Expected values come from integers alone: floats are integers over a power of two, so sums and squares of them are
exact, and a square root is taken to 200 bits.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

ROWS = 10_000
BATCH = 256  # rows of a batch, for those who take batches
BITS = 200  # of a square root, at least
QUARTERS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


@dataclass(frozen=True)
class Case:
    """One column of numbers."""

    name: str
    data: str  # what it holds and why it is hard, in one line
    make: Callable[[np.random.Generator], np.ndarray]

    def column(self) -> np.ndarray:
        """(rows,), the same at every call; NaN is missing."""
        return self.make(np.random.default_rng(20_26))


CASES: dict[str, Case] = {}


def case(make: Callable[[np.random.Generator], np.ndarray]) -> Callable[[np.random.Generator], np.ndarray]:
    """Enter a generator in CASES: its name is the case's, its docstring says what it is."""
    CASES[make.__name__] = Case(make.__name__, (make.__doc__ or "").strip(), make)
    return make


def batches(x: np.ndarray) -> Iterator[np.ndarray]:
    """In batches; of no rows, one empty batch."""
    return (x[start : start + BATCH] for start in range(0, max(len(x), 1), BATCH))


# ------------------------------------------------------------------------------------------------------- what is exact


@dataclass(frozen=True)
class Exact:
    """A column's statistics without any rounding; of the values that are not missing, of which there is one at least."""

    mean: Fraction
    std: Fraction  # population standard deviation, to BITS bits; 0 for constants only
    largest: Fraction  # |x| at most
    ordered: tuple[Fraction, ...]
    z: np.ndarray  # (rows,) (x - mean) / std in float64, each to its last bit; NaN where missing, 0 where std is 0

    @classmethod
    def of(cls, x: np.ndarray) -> Exact | None:
        """None where there is no value."""
        there = [i for i, value in enumerate(x.tolist()) if value == value]  # noqa: PLR0124  # NaN is not itself
        if not there:
            return None
        ratios = [x[i].item().as_integer_ratio() for i in there]  # a NumPy number's item() is exact, int64 included
        unit = max(below for _, below in ratios)  # all of them powers of two
        values = [above * (unit // below) for above, below in ratios]
        rows, total = len(values), sum(values)
        spread = rows * sum(value * value for value in values) - total * total  # (rows std unit) squared
        root = math.isqrt(spread << 2 * BITS)
        z = np.full(len(x), np.nan)
        z[there] = [((rows * value - total) << BITS) / root if root else 0.0 for value in values]
        return cls(
            Fraction(total, rows * unit),
            Fraction(root, (rows * unit) << BITS),
            Fraction(max(map(abs, values)), unit),
            tuple(Fraction(value, unit) for value in sorted(values)),
            z,
        )

    def mean_digits(self, answer: Any) -> int:
        """Correct digits, counted from the larger of |mean| and the deviation: a mean near 0 has no first digit."""
        return digits(answer, self.mean, max(abs(self.mean), self.std))

    def std_digits(self, answer: Any) -> int:
        """Correct digits; of a constant's deviation, counted from the largest |x|."""
        return digits(answer, self.std, self.std or self.largest)

    def z_error(self, answer: np.ndarray) -> float:
        """The largest error of a standardized value, in units of 1 + |z|; NaN where one is not a number."""
        there = ~np.isnan(self.z)
        z, answered = self.z[there], np.asarray(answer, np.float64)[there]
        return float(np.max(np.abs(answered - z) / (1 + np.abs(z))))

    def rank_error(self, quartiles: Any) -> float:
        """How far the three are from the ranks asked for, as a share of the rows; ties count as all ranks they fill."""
        worst = Fraction(0)
        for rank, value in zip(QUARTERS, quartiles, strict=True):
            if not math.isfinite(value):
                return math.nan
            exactly = Fraction(*value.as_integer_ratio())
            below = Fraction(bisect_left(self.ordered, exactly), len(self.ordered))
            up_to = Fraction(bisect_right(self.ordered, exactly), len(self.ordered))
            worst = max(worst, below - rank, rank - up_to)
        return float(worst)


def digits(answer: Any, exact: Fraction, unit: Fraction) -> int:
    """-log10 of the error in that unit, in whole digits; 16 for the float64 nearest to the exact number."""
    if not math.isfinite(answer):
        return 0
    if float(answer) == float(exact):
        return 16
    error = abs(Fraction(*answer.as_integer_ratio()) - exact) / (unit or 1)
    return max(0, min(16, math.floor(math.log10(error.denominator) - math.log10(error.numerator)))) if error else 16


# ------------------------------------------------------------------------------------------------------------- offsets


@case
def plain(random: np.random.Generator) -> np.ndarray:
    """N(0, 1): what all should get right."""
    return random.standard_normal(ROWS)


@case
def offset_1e4_float32(random: np.random.Generator) -> np.ndarray:
    """N(1e4, 1): squares and sums in float32 lose the deviation."""
    return random.normal(1e4, 1.0, ROWS).astype(np.float32)


@case
def offset_1e6_float32(random: np.random.Generator) -> np.ndarray:
    """N(1e6, 1): a float32 mean is only good to 0.03 deviations."""
    return random.normal(1e6, 1.0, ROWS).astype(np.float32)


@case
def offset_1e9(random: np.random.Generator) -> np.ndarray:
    """N(1e9, 1), as seconds since 1970: squares fill float64."""
    return random.normal(1e9, 1.0, ROWS)


@case
def offset_1e12(random: np.random.Generator) -> np.ndarray:
    """N(1e12, 1): four digits are left after the point."""
    return random.normal(1e12, 1.0, ROWS)


@case
def alternating(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """1e8 and -1e8 in turn, plus 0.001: the sum cancels to nothing."""
    return np.where(np.arange(ROWS) % 2 == 0, 1e8, -1e8) + 1e-3


# ----------------------------------------------------------------------------------------------------------- constants


@case
def constant_tenth(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """0.1 in 1,000 rows: adding it up rounds, yet the deviation is 0."""
    return np.full(1000, 0.1)


@case
def constant_1e100(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """1e100 in ten rows: an error in the last bit is 1e84."""
    return np.full(10, 1e100)


@case
def constant_1e15(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """1e15 + 0.3 in 1,000 rows: its sum has no room for the fraction."""
    return np.full(1000, 1e15 + 0.3)


@case
def one_differs(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """0.1, and in the last row the next larger number: the deviation is 1e-19, and not 0."""
    x = np.full(ROWS, 0.1)
    x[-1] = np.nextafter(x[-1], 1.0)
    return x


@case
def near_constant(random: np.random.Generator) -> np.ndarray:
    """1 plus 0 to 3 units in the last place."""
    return 1.0 + random.integers(0, 4, ROWS) * np.finfo(np.float64).eps


@case
def near_constant_float32(random: np.random.Generator) -> np.ndarray:
    """1000 plus 0 or 1 units in the last place of float32."""
    return np.float32(1000) + random.integers(0, 2, ROWS).astype(np.float32) * np.spacing(np.float32(1000))


# ------------------------------------------------------------------------------------------------------------- missing


@case
def missing_batch(random: np.random.Generator) -> np.ndarray:
    """N(5, 2); rows 512 to 767, one whole batch, are missing."""
    x = random.normal(5.0, 2.0, ROWS)
    x[2 * BATCH : 3 * BATCH] = np.nan
    return x


@case
def missing_first_batch(random: np.random.Generator) -> np.ndarray:
    """N(5, 2); rows 0 to 255, the first batch, are missing."""
    x = random.normal(5.0, 2.0, ROWS)
    x[:BATCH] = np.nan
    return x


@case
def missing_scattered(random: np.random.Generator) -> np.ndarray:
    """N(1e6, 1); every second value is missing."""
    x = random.normal(1e6, 1.0, ROWS)
    x[::2] = np.nan
    return x


@case
def missing_all(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """Not one value in 1,000 rows: there is no mean."""
    return np.full(1000, np.nan)


@case
def no_rows(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """A column without rows: there is no mean."""
    return np.zeros(0)


@case
def one_row(random: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """The number 42.5 alone: the deviation is 0."""
    return np.array([42.5])


# ------------------------------------------------------------------------------------------------- the ends of float64


@case
def denormals(random: np.random.Generator) -> np.ndarray:
    """0 to 9,999 times 5e-324, the smallest number: squares and even quotients vanish."""
    return random.integers(0, 10_000, ROWS) * 5e-324


@case
def tiny(random: np.random.Generator) -> np.ndarray:
    """N(0, 1) times 1e-200: squares vanish."""
    return random.standard_normal(ROWS) * 1e-200


@case
def huge(random: np.random.Generator) -> np.ndarray:
    """N(0, 1) times 1e200: squares overflow."""
    return random.standard_normal(ROWS) * 1e200


@case
def largest(random: np.random.Generator) -> np.ndarray:
    """Even from -1.7e308 to 1.7e308: sums and differences overflow."""
    return random.uniform(-1.7, 1.7, ROWS) * 1e308


@case
def largest_float32(random: np.random.Generator) -> np.ndarray:
    """Even from 1e38 to 3e38: sums overflow float32, and so do squares."""
    return random.uniform(1e38, 3e38, ROWS).astype(np.float32)


# -------------------------------------------------------------------------------------------------------------- shapes


@case
def cauchy(random: np.random.Generator) -> np.ndarray:
    """Cauchy's distribution: a few values outweigh all the rest."""
    return random.standard_cauchy(ROWS)


@case
def lognormal(random: np.random.Generator) -> np.ndarray:
    """exp(N(0, 3)), as money is spread."""
    return random.lognormal(0.0, 3.0, ROWS)


@case
def mostly_zeros(random: np.random.Generator) -> np.ndarray:
    """90 % zeros, the rest exp(N(0, 1)): two quartiles fall among ties."""
    return np.where(random.uniform(size=ROWS) < 0.9, 0.0, random.lognormal(0.0, 1.0, ROWS))


@case
def sorted_up(random: np.random.Generator) -> np.ndarray:
    """N(0, 1), sorted: the first batches know only the lower tail."""
    return np.sort(random.standard_normal(ROWS))


@case
def sorted_down(random: np.random.Generator) -> np.ndarray:
    """exp(N(0, 3)), largest first: all that follow are near 0."""
    return np.sort(random.lognormal(0.0, 3.0, ROWS))[::-1].copy()


@case
def bimodal(random: np.random.Generator) -> np.ndarray:
    """N(0, 1) and N(1000, 1) mixed: clusters 1,000 deviations apart."""
    return random.standard_normal(ROWS) + 1000.0 * random.integers(0, 2, ROWS)


# --------------------------------------------------------------------------------------------------------------- types


@case
def int64_past_2_53(random: np.random.Generator) -> np.ndarray:
    """2^53 plus 0 to 99: float64 has no odd ones."""
    return 2**53 + random.integers(0, 100, ROWS)


@case
def nanoseconds(random: np.random.Generator) -> np.ndarray:
    """int64 nanoseconds since 1970 within one day of 2024."""
    return 1_717_200_000_000_000_000 + random.integers(0, 86_400_000_000_000, ROWS)


@case
def half(random: np.random.Generator) -> np.ndarray:
    """N(300, 30) in float16: sums and squares overflow 65,504."""
    return random.normal(300.0, 30.0, ROWS).astype(np.float16)
