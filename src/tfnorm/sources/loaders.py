"""Other libraries' datasets: Hugging Face datasets, PyTorch and grain loaders, TensorFlow Datasets builders.

The one law: a loader's batches are taken as its library gives them, in its order; where it gives single examples, they are
put together here. No library is imported: whoever has such an object has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Source
from tfnorm.sources.columns import quoted
from tfnorm.sources.streams import open_columns, open_function
from tfnorm.sources.tables import open_table

EXAMPLES = 1024  # single examples that are put together


def opener(data: Any) -> Callable[..., Source] | None:
    """Who opens an object, by the library that its type, or one that it derives from, belongs to."""
    for base in type(data).__mro__:
        root = str(base.__module__).partition(".")[0]
        if root == "datasets":
            return _OF_DATASETS.get(base.__name__)
        if root == "torch" and base.__name__ in ("DataLoader", "Dataset", "IterableDataset"):
            return open_torch
        if root == "grain" and base.__name__ in ("DataLoader", "MapDataset", "IterDataset"):
            return open_grain
        if root == "ray" and base.__name__ == "Dataset":
            return open_ray
        if root == "tensorflow_datasets" and hasattr(data, "as_dataset"):
            return open_builder
    return None


def open_dataset(data: Any, *, weight: Any = None) -> Source:
    """A Hugging Face `Dataset`: its Arrow table, memory-mapped; where rows were chosen or shuffled, batches of those."""
    from tfnorm.sources import arrow

    name = "datasets.Dataset"
    if data._indices is None:
        table = data.data.table.select(data.column_names)
        return open_table(arrow.table_of(table, name), name, weight=weight)
    return _of_tables(data, name, weight)


def open_iterable_dataset(data: Any, *, weight: Any = None) -> Source:
    """A Hugging Face `IterableDataset`, read as it comes."""
    return _of_tables(data, "datasets.IterableDataset", weight)


def _of_tables(data: Any, name: str, weight: Any) -> Source:
    """Batches in the library's own Arrow format."""
    from tfnorm.sources import arrow

    tables = data.with_format("arrow")
    first = next(iter(tables.iter(batch_size=EXAMPLES)), None)
    if first is None:
        raise DataError(f"{name}: it has no rows. Statistics need at least one.")
    columns = arrow.schema_columns(first.schema, name, first)

    def read(wanted: Sequence[Any]) -> Iterator[dict[str, np.ndarray]]:
        yield from arrow.batches_of(tables.iter(batch_size=EXAMPLES), wanted, name)

    return open_columns(name, columns, read, weight=weight)


def refuse_dict(data: Any, *, weight: Any = None) -> Source:
    """A `DatasetDict` is several data sets."""
    del weight
    name = type(data).__name__
    raise DataError(
        f"{name}: it has the splits {quoted(map(str, data))}. Pass one of them: data[{next(iter(data), '')!r}]."
    )


_OF_DATASETS: dict[str, Callable[..., Source]] = {
    "Dataset": open_dataset,
    "IterableDataset": open_iterable_dataset,
    "DatasetDict": refuse_dict,
    "IterableDatasetDict": refuse_dict,
}


def open_torch(data: Any, *, weight: Any = None) -> Source:
    """A PyTorch `DataLoader`: its batches. A `Dataset` gives single examples.

    A loader of batch_size None gives what its data set does: batches, unless there is a single value in them.
    """
    if hasattr(data, "batch_size") and hasattr(data, "dataset"):
        batched = data.batch_size is not None or getattr(data, "batch_sampler", None) is not None
        return open_function(_Batches(data, "torch.DataLoader", False if batched else None), weight=weight)
    return open_function(_Batches(data, f"torch.{type(data).__name__}", True), weight=weight)


def open_grain(data: Any, *, weight: Any = None) -> Source:
    """A loader or dataset of grain. Elements with a single value among them, or lengths that differ, are single examples."""
    return open_function(_Batches(data, f"grain.{type(data).__name__}", None), weight=weight)


def open_ray(data: Any, *, weight: Any = None) -> Source:
    """A data set of Ray Data: its workers measure it."""
    from tfnorm.sources import ray

    return ray.open_dataset(data, weight=weight)


def open_builder(data: Any, *, weight: Any = None) -> Source:
    """A builder of TensorFlow Datasets: its split "train", or the only one it has."""
    from tfnorm.sources import tensorflow

    splits = list(data.info.splits)
    if not splits:
        raise DataError(f"{data.name}: it has no data yet. Call its download_and_prepare() first.")
    if "train" not in splits and len(splits) > 1:
        raise DataError(
            f'{data.name}: it has the splits {quoted(splits)} and no "train". Pass builder.as_dataset(split=...).'
        )
    split = "train" if "train" in splits else splits[0]
    examples = data.as_dataset(split=split, shuffle_files=False)
    return tensorflow.open_dataset(tensorflow.batched(examples), weight=weight)


class _Batches:
    """A function without arguments that gives batches in NumPy, anew each time."""

    def __init__(self, data: Any, name: str, single: bool | None) -> None:
        self.data, self.single, self.__name__ = data, single, name

    def __call__(self) -> Iterable[Any]:
        data = self.data
        by_place = not hasattr(data, "__iter__")  # as torch's Dataset
        elements = (in_numpy(one) for one in (map(data.__getitem__, range(len(data))) if by_place else data))
        single = self.single
        for first in elements:
            single = _is_example(first) if single is None else single
            if not single:
                yield first
                yield from elements
                return
            yield stacked([first, *islice(elements, EXAMPLES - 1)], self.__name__)


def in_numpy(element: Any) -> Any:
    """Tensors anywhere in an element as arrays; lists of several parts, which PyTorch makes of tuples, as tuples again."""
    if isinstance(element, Mapping):
        return {str(key): in_numpy(value) for key, value in element.items()}
    if isinstance(element, (list, tuple)):
        parts = tuple(in_numpy(value) for value in element)
        return parts if any(isinstance(part, (np.ndarray, dict, tuple)) for part in parts) else element
    if hasattr(element, "detach"):
        tensor = element.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.asarray(element) if isinstance(element, (int, float, np.generic)) else element


def _leaves(element: Any) -> Iterator[np.ndarray]:
    if isinstance(element, Mapping):
        for value in element.values():
            yield from _leaves(value)
    elif isinstance(element, tuple):
        for value in element:
            yield from _leaves(value)
    elif not isinstance(element, (str, bytes)) and element is not None:
        yield np.asarray(element)


def _is_example(element: Any) -> bool:
    """Whether it cannot be a batch: a single value in it, or first lengths that differ."""
    shapes = [array.shape for array in _leaves(element)]
    return any(not shape for shape in shapes) or len({shape[0] for shape in shapes if shape}) > 1


def stacked(examples: Sequence[Any], name: str) -> Any:
    """Examples as one batch."""
    first = examples[0]
    if isinstance(first, Mapping):
        return {key: stacked([example[key] for example in examples], name) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked(parts, name) for parts in zip(*examples, strict=True))
    if isinstance(first, (str, bytes)) or first is None:
        texts = np.empty(len(examples), dtype=object)
        texts[:] = examples
        return texts
    try:
        return np.stack([np.asarray(example) for example in examples])
    except ValueError as error:
        raise DataError(f"{name}: expected examples of one shape: {error}. Pad them, or give batches.") from None
