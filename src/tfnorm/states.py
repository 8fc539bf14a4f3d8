"""What was measured of a part, as it is kept in a folder and as workers send it.

The one law: `read(written(measured))` gives the same bits, and whatever is not whole, or not what was asked for, is refused.

Two lines of text: a head (what it is of, and a checksum over the rest), and the statistics in the format of artefacts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tfnorm
from tfnorm.codec import decode, encode, optional
from tfnorm.errors import ArtefactError
from tfnorm.grouped import Grouped
from tfnorm.measuring import Measure, Measured
from tfnorm.profile import Skipped
from tfnorm.statistics import Statistic


@dataclass(frozen=True)
class State:
    """What was measured, as it is written."""

    num_rows: int
    num_shards: int
    digest: str
    statistics: tuple[Statistic, ...]
    grouped: tuple[Grouped, ...]
    skipped: tuple[Skipped, ...] = optional(())

    @classmethod
    def of(cls, measured: Measured) -> State:
        statistics, grouped = tuple(measured.statistics.values()), tuple(measured.grouped.values())
        return cls(measured.num_rows, measured.num_shards, measured.digest, statistics, grouped, measured.skipped)

    def measured(self, nothing: Measured) -> Measured:
        """The other way; ArtefactError where it is not of the same kinds and columns as `nothing`, of no rows, is."""
        statistics: Mapping[type[Statistic], Statistic] = {type(one): one for one in self.statistics}
        # of a part without rows there are no keys, and an empty list does not tell what it would hold
        grouped = {
            one.keys.names: one if len(one.keys) else nothing.grouped.get(one.keys.names, one) for one in self.grouped
        }
        same = [(kind, one.features) for kind, one in statistics.items()] == [
            (kind, one.features) for kind, one in nothing.statistics.items()
        ] and [(by, one.features, [*map(type, one.statistics)]) for by, one in grouped.items()] == [
            (by, one.features, [*map(type, one.statistics)]) for by, one in nothing.grouped.items()
        ]
        flawed = any(one.flaw() for one in self.statistics) or any(one.flaw() for one in grouped.values())
        if not same or flawed or self.num_rows < 0:
            raise ArtefactError("not the statistics that are asked for")
        return Measured(self.num_rows, self.num_shards, statistics, self.digest, grouped, self.skipped)


def written(measured: Measured, **head: Any) -> bytes:
    """With what the head is to tell of it besides."""
    state = json.dumps(encode(State.of(measured), level=1), allow_nan=False)
    return f"{json.dumps({**head, 'checksum': digest(state)})}\n{state}\n".encode()


def relabelled(data: bytes, **head: Any) -> bytes:
    """What was written, and has been read, under another head: `written(read(data), **head)` without encoding it again."""
    state = data.split(b"\n", 1)[1]
    return f"{json.dumps({**head, 'checksum': head_of(data)['checksum']})}\n".encode() + state


def head_of(data: bytes) -> dict[str, Any]:
    """The head alone; ArtefactError where it is none."""
    try:
        head = json.loads(data.split(b"\n", 1)[0])
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"not a state: {error}") from None
    if not isinstance(head, dict):
        raise ArtefactError("not a state: it has no head")
    return head


def read(data: bytes, nothing: Measured) -> Measured:
    """What was measured; ArtefactError where it is damaged or not of what `nothing`, of no rows, is of."""
    try:
        state = data.split(b"\n")[1].decode()
        if head_of(data).get("checksum") != digest(state):
            raise ArtefactError("the checksum does not fit")
        return decode(State, json.loads(state)).measured(nothing)
    except (ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(f"not a state: {error}") from None


def asked_of(measure: Measure) -> str:
    """A digest of what is gathered: of another one no state is taken."""
    wants = [
        [
            encode(want.column),
            want.via,
            encode(want.step),
            [kind.__name__ for kind in want.kinds],
            want.through,
            want.by,
        ]
        for want in measure.wants
    ]
    asked = [tfnorm.__version__, wants, sorted(measure.infinite), measure.rows, measure.weight]
    return digest(json.dumps(asked, sort_keys=True))


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
