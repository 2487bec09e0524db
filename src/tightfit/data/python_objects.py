"""Data that a Python caller holds: arrays, dicts, lists, functions, and the loaders of other libraries.

An object becomes a function that starts its samples anew (``Restartable``); everything behind that is
``FunctionData``, so the samples are the same as those of ``module:function`` and of an ``.npz``. Nothing is
imported for it: a library's loader is known by its attributes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from tightfit.data.sample import WEIGHT
from tightfit.errors import DataError
from tightfit.types import Array

Item = TypeVar("Item")

LABELS: Final = ("y", "label", "labels")
"""Names of labels beside inputs in a dict or a table of columns."""

_EXPECTED: Final = (
    "Expected a path, an array, (x, y), (x, y, sample_weight), a dict of arrays by input name, a list of "
    "samples, a function that returns an iterable, a DataLoader, a tf.data.Dataset, a keras.utils.PyDataset "
    "or a tightfit.Dataset"
)


class IterableData(Generic[Item]):
    """Samples of any iterable, each changed by a function; exported as ``tightfit.Dataset``.

    Args:
        iterable: a list, a loader, or a function that returns an iterable of fresh samples.
        transform: item → inputs or (inputs, label); None where the items are that already.

    Example:
        >>> rows = [{"pixels": [0.0, 1.0], "class": 1}]
        >>> data = IterableData(rows, lambda row: (np.float32(row["pixels"]), row["class"]))
        >>> next(iter(data))[1]
        1
    """

    def __init__(
        self,
        iterable: Iterable[Item] | Callable[[], Iterable[Item]],
        transform: Callable[[Item], object] | None = None,
    ) -> None:
        if _is_used_up(iterable):
            raise DataError(_used_up(iterable))
        self.iterable = iterable
        self.transform = transform

    def __iter__(self) -> Iterator[object]:
        """Yield the samples from the first one on."""
        items = _items(self.iterable)
        return iter(items) if self.transform is None else map(self.transform, items)

    def __repr__(self) -> str:
        return f"Dataset({type(self.iterable).__name__})"


@runtime_checkable
class _ByIndex(Protocol):
    """A ``keras.utils.PyDataset`` and what is like it: batches by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


def is_python_object(data: Any) -> bool:
    """Return whether data is an object of the caller, not a name of something on disk.

    Example:
        >>> is_python_object("photos/"), is_python_object(np.zeros((2, 3)))
        (False, True)
    """
    return not isinstance(data, str) and not hasattr(data, "__fspath__")


def restartable(
    data: Any, inputs: Sequence[str], outputs: Sequence[str] = ()
) -> tuple[str, Callable[[], Iterable[Any]]]:
    """Return a name for messages, and a function that starts the samples of an object anew.

    Args:
        data: see the module.
        inputs: names of the model's inputs, which separate inputs from labels in a dict.
        outputs: names of the model's outputs, which labels may have.

    Returns:
        (name, function); each item that the function's iterable yields is inputs or (inputs, labels).

    Raises:
        DataError: the object can be read only once, or is none of the known kinds.
    """
    name = type(data).__name__
    if _is_used_up(data):
        raise DataError(_used_up(data))
    if _is_array(data):
        return f"an array of shape {tuple(np.shape(data))}", lambda: _rows(data, None)
    if isinstance(data, tuple) and len(data) in (2, 3):
        return "(x, y)" if len(data) == 2 else "(x, y, sample_weight)", lambda: _rows(*data)
    if isinstance(data, Mapping):
        return "a dict of arrays", lambda: _columns(data, inputs, outputs)
    if isinstance(data, set | frozenset):
        raise DataError(f"A {name} has no order, so samples would differ from run to run; pass a list.")
    odd = isinstance(data, tuple | bytes | bytearray | memoryview)
    if odd or not (callable(data) or hasattr(data, "__iter__") or _is_by_index(data)):
        raise DataError(f"Data of type {name} cannot be read. {_EXPECTED}.")
    wanted = set(inputs)
    return name, lambda: (_split(item, wanted, outputs) for item in _items(data))


def _items(data: Any) -> Iterable[Any]:
    """Yield the items of an iterable, of a function's iterable, or of a dataset of numbered batches."""
    if _is_by_index(data):
        return (data[i] for i in range(len(data)))
    if callable(data) and not hasattr(data, "__iter__"):
        made = data()
        return _items(made) if _is_by_index(made) else made
    items: Iterable[Any] = data
    return items


def _is_by_index(data: Any) -> bool:
    """True for numbered batches that do not end by themselves: iterating over them would go on for ever."""
    plain = isinstance(data, list | tuple | Mapping | np.ndarray | type)
    return not plain and isinstance(data, _ByIndex) and not hasattr(type(data), "__iter__")


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "__array__")


def _is_used_up(data: Any) -> bool:
    return hasattr(data, "__next__")


def _used_up(data: Any) -> str:
    return (
        f"Received a {type(data).__name__}, which can be read only once; pass the function that makes it, "
        "or a list."
    )


def _rows(x: Any, y: Any, weight: Any = None) -> Iterator[Any]:
    """Yield the rows of an array, or of arrays by name, with the labels' rows and the samples' weights."""
    if isinstance(x, Mapping):
        named = {str(k): np.asarray(v) for k, v in x.items()}
        counts = {len(v) for v in named.values()}
        rows: Iterable[Any] = ({k: v[i] for k, v in named.items()} for i in range(min(counts, default=0)))
    else:
        array = np.asarray(x)
        if array.ndim == 0:
            raise DataError("Received one number as data. Expected an array whose first axis counts samples.")
        counts, rows = {len(array)}, iter(array)
    labels = None if y is None else _label_rows(y)
    beside = [each for each in (labels, None if weight is None else _label_rows(weight)) if each is not None]
    counts |= {len(each) for each in beside}
    if len(counts) > 1:
        raise DataError(
            f"The arrays have {' and '.join(str(c) for c in sorted(counts))} rows. Expected one row a sample "
            "in each."
        )
    if not beside:
        yield from rows
    elif weight is None:
        yield from zip(rows, *beside, strict=True)
    else:
        yield from zip(rows, labels or itertools.repeat(None), beside[-1], strict=labels is not None)


def _label_rows(y: Any) -> Sequence[Any]:
    """Return one label a sample; labels by output name become one dict a sample."""
    if isinstance(y, Mapping):
        columns = {str(k): np.asarray(v) for k, v in y.items()}
        count = min((len(v) for v in columns.values()), default=0)
        return [{k: v[i] for k, v in columns.items()} for i in range(count)]
    return y if isinstance(y, list) else list(np.asarray(y))


def _columns(data: Mapping[Any, Any], inputs: Sequence[str], outputs: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a dict of arrays: inputs by name (``x`` for the only one), the rest labels."""
    named = {str(k): v for k, v in data.items()}
    fed = [name for name in named if name in inputs]
    if not fed and len(inputs) == 1 and "x" in named:
        fed = ["x"]
    if not fed:
        raise DataError(
            f"The dict has the arrays {', '.join(named) or 'none'}. Expected the model's inputs: "
            f"{', '.join(inputs)}."
        )
    plain = next((named[name] for name in LABELS if name in named and name not in fed), None)
    by_name = {name: named[name] for name in outputs if name in named and name not in fed}
    yield from _rows({name: named[name] for name in fed}, by_name or plain, named.get(WEIGHT))


def _split(item: Any, inputs: set[str], outputs: Sequence[str]) -> Any:
    """Return an item as it is, or a row of columns (``datasets``, grain) as (inputs, label)."""
    if not isinstance(item, Mapping):
        return item
    fed = {k: v for k, v in item.items() if k in inputs}
    if not fed and len(inputs) == 1:
        fed = {k: v for k, v in item.items() if k not in (*LABELS, WEIGHT, *outputs)}
        fed = {"x": next(iter(fed.values()))} if len(fed) == 1 else {}
    if not fed or len(fed) == len(item):
        return item
    label: Any = {k: item[k] for k in outputs if k in item and k not in fed}
    label = label or next((item[k] for k in LABELS if k in item), None)
    if WEIGHT in item:
        return dict(fed), label, item[WEIGHT]
    return dict(fed) if label is None else (dict(fed), label)


__all__ = ["Array", "IterableData", "is_python_object", "restartable"]
