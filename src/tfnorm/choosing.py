"""Which columns and which techniques: what the user said, checked against what the data hold.

The one law: all that cannot be done is said before anything is read, in one error.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from tfnorm import maps
from tfnorm.covariance import Covariance, excess
from tfnorm.errors import ChoiceError, DataError
from tfnorm.profile import UNITS, Column, Profile
from tfnorm.sources import Source
from tfnorm.sources.columns import NUMBERS_WITH_COMMAS, did_you_mean, quoted
from tfnorm.techniques import Stages, parse

Unit = str | Mapping[str, str] | None
Unstored = Literal["zero", "missing"]


def stages_of(choice: Any, names: list[str], numeric: list[str], hint: str = "") -> dict[str, Stages]:
    """Each column's techniques; `hint` is what to say where none has numbers."""
    if not isinstance(choice, Mapping):
        stages = parse(choice)
        keys = {name for by in keys_of(stages) for name in by}
        numeric = [name for name in numeric if name not in keys]
        if not numeric:
            raise ChoiceError(f"there is no column of numbers among {quoted(names)}.{hint}")
        return dict.fromkeys(numeric, stages)
    choice = {str(name): one for name, one in choice.items()}  # as tables with numbers for names are read
    unknown = [name for name in choice if name not in names]
    if unknown:
        hints = "".join(did_you_mean(name, names) for name in unknown[:3])
        raise ChoiceError(f"column {quoted(unknown)}: not in the data, which has {quoted(names)}.{hints}")
    if not choice:
        raise ChoiceError("the choice names no column; give one technique for all, or {column: technique}.")
    return {name: parse(choice[name]) for name in names if name in choice}


def keys_of(stages: Stages) -> list[tuple[str, ...]]:
    """The sets of key columns by which a chain is solved."""
    return list(dict.fromkeys(stage.grouping.columns for stage in stages if stage.grouping is not None))


def check_keys(source: Source, stages: Mapping[str, Stages]) -> list[str]:
    """The key columns, which must be there, hold what can be a key, and stay as they are."""
    names = list(dict.fromkeys(name for chain in stages.values() for by in keys_of(chain) for name in by))
    check_key_columns(source, names)
    for name in names:
        if name in stages:
            raise ChoiceError(
                f"column {quoted([name])}: is a key of others, who look its values up, and cannot be normalized as well. "
                "Copy it under another name."
            )
    return names


def check_key_columns(source: Source, names: Iterable[str]) -> None:
    """That these columns can be keys."""
    known = {column.name: column for column in source.columns}
    for name in names:
        if name not in known:
            has = "one array, without names" if source.bare else quoted(known)
            raise ChoiceError(
                f"key column {quoted([name])}: not in {source.name}, which has {has}.{did_you_mean(name, known)}"
            )
        column = known[name]
        if column.shape not in ((), (1,)) or column.kind == "time":
            raise ChoiceError(
                f"key column {quoted([name])}: expected whole numbers, booleans or text, one a row, got "
                f"{column.dtype} {column.shape or ''}".rstrip()
                + ". Cast it."
            )


def key_names(by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Of one key column, or several that are a key together; none without."""
    names = (by,) if isinstance(by, str) else tuple(by or ())
    if any(not isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ChoiceError(f"by must be the name of a key column, or a list of them, each once; got {by!r}.")
    return names


def chosen_columns(
    source: Source, names: list[str] | None, axis: Any, unit: Unit, sparse: Unstored = "zero"
) -> list[Column]:
    """The columns to measure; one error for all that cannot be."""
    known = {column.name: column for column in source.columns}
    units = units_of(source, unit)
    if names is None:
        names = numeric_columns(source, unit)
        if not names:
            raise ChoiceError(
                f"there is no column of numbers in {source.name}; it has {quoted(known)}.{hint_of(source)}"
            )
    missing = [name for name in names if name not in known]
    if missing:
        hints = "".join(did_you_mean(name, known) for name in missing[:3])
        raise ChoiceError(f"column {quoted(missing)}: not in {source.name}, which has {quoted(known)}.{hints}")
    if names and source.weight in names:
        raise ChoiceError(f"column {quoted([str(source.weight)])} holds the weights and cannot be normalized as well.")
    wrong = [known[name] for name in names if known[name].kind == "other"]
    times = [known[name] for name in names if known[name].kind == "time" and not units.get(name)]
    problems = []
    if wrong:
        listed = ", ".join(f"{quoted([c.name])} ({c.dtype})" for c in wrong)
        problems.append(f"columns that hold no numbers cannot be normalized: {listed}. Cast them, or leave them out.")
    if times:
        problems.append(f"columns {quoted(c.name for c in times)} hold times; {_unit_hint(times[0].name)}")
    if problems:
        raise ChoiceError(f"{source.name}: " + " ".join(problems))
    _check_sparse(sparse, [known[name] for name in names])
    if isinstance(axis, Mapping) and (strange := [str(name) for name in axis if name not in known]):
        hint = did_you_mean(strange[0], known)
        raise ChoiceError(f"axis: column {quoted(strange)}: not in {source.name}, which has {quoted(known)}.{hint}")
    return [
        Column(
            name,
            known[name].dtype,
            known[name].shape,
            _features(known[name], axis.get(name, -1) if isinstance(axis, Mapping) else axis),
            units.get(name) if known[name].kind == "time" else None,
            sparse if known[name].layout == "sparse" else "zero",
        )
        for name in names
    ]


def hint_of(source: Source) -> str:
    """What to do with columns of times, and of numbers with commas, where there are some."""
    names = [column.name for column in source.columns if column.kind == "time"]
    said = f" Columns {quoted(names)} hold times; {_unit_hint(names[0])}" if names else ""
    commas = [column.name for column in source.columns if column.dtype == NUMBERS_WITH_COMMAS]
    return said + (
        f" Columns {quoted(commas)} hold numbers with commas: write 1,5 as 1.5 and 1,234 as 1234." if commas else ""
    )


def _unit_hint(name: str) -> str:
    return f'say in which unit to count them: unit={{{name!r}: "s"}}, or --unit {shlex.quote(name + "=s")} on the command line.'


def _check_sparse(sparse: Unstored, columns: list[Any]) -> None:
    if sparse not in ("zero", "missing"):
        raise ChoiceError(f'sparse must be "zero" or "missing", got {sparse!r}.')
    if sparse != "zero" and not any(column.layout == "sparse" for column in columns):
        raise ChoiceError(
            f'sparse="missing" is for sparse matrices and tensors, and {quoted(column.name for column in columns)} '
            "are stored whole. Leave it out, or mark what is missing as NaN."
        )


def numeric_columns(source: Source, unit: Unit) -> list[str]:
    """The columns of numbers, and of times that are counted, less the weights."""
    units = units_of(source, unit)
    return [c.name for c in source.columns if (c.kind == "number" or c.name in units) and c.name != source.weight]


def units_of(source: Source, unit: Unit) -> dict[str, str]:
    """Which columns of times are counted, and in which unit."""
    times = [column.name for column in source.columns if column.kind == "time"]
    if unit is not None and not isinstance(unit, str | Mapping):
        raise ChoiceError(f'unit must be a unit of time ("s") or a mapping from columns to them, got {unit!r}.')
    units = dict.fromkeys(times, unit) if isinstance(unit, str) else dict(unit or {})
    for name, one in units.items():
        if one not in UNITS:
            raise ChoiceError(f"column {quoted([name])}: {one!r} is no unit of time; there are {', '.join(UNITS)}.")
        if name not in times:
            raise ChoiceError(f"column {quoted([name])}: has the unit {one!r}, and holds no times.")
    return units


def _features(column: Any, axis: Any) -> int:
    name, shape = column.name, column.shape
    if axis not in (-1, None):
        raise ChoiceError(
            f"axis must be -1 (statistics a position of the last axis) or None (one for all), got {axis!r}."
        )
    if not shape or axis is None:
        return 1
    if shape[-1] is None and column.layout == "ragged":
        return 1  # steps that are single numbers
    if shape[-1] is None:
        raise ChoiceError(f"column {quoted([name])}: rows differ in their last length, so only axis=None would fit.")
    if shape[-1] == 0:
        raise ChoiceError(f"column {quoted([name])}: its rows are empty, there is nothing to normalize.")
    return shape[-1]


def check_shapes(columns: list[Column], stages: Mapping[str, Stages]) -> None:
    for column in columns:
        for stage in stages[column.name]:
            step = None if stage.needs else stage.solve({})
            if Covariance in stage.needs:
                _check_joint(column, stages[column.name], stage)
            if isinstance(step, maps.Patches | maps.JoinPatches):
                fits_shape(column, _before(stages[column.name]))
            if isinstance(step, maps.RowNorm) and len(column.shape) < step.sample_axes:
                raise ChoiceError(
                    f"column {quoted([column.name])}: {stage} needs a vector in each row, got {_shape_text(column)}. "
                    "Join the columns into one array first (df.to_numpy()), or choose another technique."
                )


def _before(stages: Stages) -> maps.Map:
    """What is done before anything is needed of the data."""
    return maps.chain(*(stage.solve({}) for stage in takewhile(lambda stage: not stage.needs, stages)))


def fits_shape(column: Column, step: maps.Map) -> maps.Map:
    """The map, where the column has a shape for it."""
    try:
        step.shape((None, *column.shape))
    except DataError as error:
        raise ChoiceError(f"column {quoted([column.name])}: {error}") from None
    return step


def _check_joint(column: Column, stages: Stages, stage: Any) -> None:
    """A technique that looks at all features together needs several, each with statistics of its own."""
    name = quoted([column.name])
    if column.scalar:
        raise ChoiceError(
            f"column {name}: {stage} needs a vector in each row, got single numbers. "
            "Join the columns into one array first (df.to_numpy()), or choose another technique."
        )
    if column.features != column.shape[-1]:
        raise ChoiceError(
            f"column {name}: {stage} looks at the features together, and axis=None takes them for one. Leave axis out."
        )
    if too_wide := excess(_before(stages).width(column.features)):
        raise ChoiceError(f"column {name}: {stage}: {too_wide}")


def _shape_text(column: Column) -> str:
    return "single numbers" if column.scalar else f"rows of shape {column.shape}"


def refuse_infinite(profile: Profile, names: Iterable[str]) -> None:
    found = [name for name in names if profile[name].count.infinite.any()]
    if found:
        raise ChoiceError(
            f'columns {quoted(found)}: there were infinite values. Mend them, or treat them as missing with infinite="missing".'
        )
