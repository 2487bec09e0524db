"""Data from a user's own function, ``module:function``.

The function is called anew for every pass, so it must give a fresh iterable of ``(inputs, label)`` or
``inputs`` each time. Counting, labels and fingerprint share one pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.images.held_images import HeldImages, is_picture
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import WEIGHT, DataRecord, InputSpec, fit_shape, label_of
from tightfit.data.user_code import guarded, refused
from tightfit.errors import DataError
from tightfit.types import Array

_MOST_SAMPLES = 1_000_000  # an endless generator is told apart from a long one here


@dataclass(frozen=True)
class _Survey:
    """What one pass over the data found; labels are None without scalar labels."""

    count: int
    labels: Array | None
    digest: str
    named: Mapping[str, Array]


class FunctionData:
    """What a function yields, as a source of records; batches are split into samples.

    Args:
        spec: ``module:function``, for messages.
        function: takes nothing, returns an iterable.
        inputs: the model's inputs, which separate a batch from a sample.
        image: how pictures among the samples become arrays.
    """

    kind = "function"

    def __init__(
        self,
        spec: str,
        function: Callable[[], Any],
        inputs: Sequence[InputSpec],
        image: ImageOptions | None = None,
    ) -> None:
        self.name = spec
        self._function = function
        self._specs = {s.name: s for s in inputs}
        self._images = HeldImages(image, self._specs)
        self._survey: _Survey | None = None
        first = next(self.read(None), None)
        if first is None:
            raise DataError(f"'{spec}' yielded nothing. Return an iterable of (inputs, label) or inputs.")
        self._has_labels = first.label is not None or bool(first.labels)

    notes: Sequence[str] = ()

    @property
    def decodes(self) -> bool:
        """True when the first element has a picture."""
        return self._images.met

    def named_labels(self) -> Mapping[str, Array]:
        """The labels with names that are one number each, after one pass."""
        return self._surveyed().named

    @property
    def has_labels(self) -> bool:
        """True when the first element is a pair."""
        return self._has_labels

    def count(self) -> int:
        """The number of samples, after one pass."""
        return self._surveyed().count

    def labels(self) -> Array | None:
        """The labels, when each is one number, after one pass."""
        return self._surveyed().labels

    def fingerprint(self) -> str:
        """SHA-256 over shape, dtype and bytes of every array and label."""
        return self._surveyed().digest

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Streams the data once, in order, and gives the records asked for."""
        wanted = None if indices is None else list(indices)
        if wanted == []:
            return
        position = 0
        for index, (inputs, label) in enumerate(self._unbatched()):
            if wanted is not None and index != wanted[position]:
                continue
            plain, named = split_labels(label)
            yield DataRecord(index, f"Sample {index} of '{self.name}'", inputs, plain, named)
            position += 1
            if wanted is not None and position == len(wanted):
                return
        if wanted is not None:
            raise DataError(
                f"'{self.name}' yielded no sample {wanted[position]} this time. "
                "Return a fresh iterable with the same samples at each call."
            )

    def _surveyed(self) -> _Survey:
        if self._survey is None:
            self._survey = self._pass()
        return self._survey

    def _pass(self) -> _Survey:
        digest, labels, count = hashlib.sha256(), [], 0
        columns: dict[str, list[Any]] = {}
        for record in self.read(None):
            count += 1
            if count > _MOST_SAMPLES:
                raise DataError(f"'{self.name}' yields more than {_MOST_SAMPLES:,} samples. Make it end.")
            for name in sorted(record.inputs):
                _update(digest, name, record.inputs[name])
            label = _label(record)
            if label is not None:
                _update(digest, "label", np.asarray(label))
            labels.append(_number_or_none(label))
            for name, value in record.labels.items():
                named = label_of(value)
                if named is not None:
                    _update(digest, f"label {name}", np.asarray(named))
                columns.setdefault(name, []).append(_number_or_none(named))
        known = {n: scalar_labels(c) for n, c in columns.items() if len(c) == count and _are_numbers(c)}
        return _Survey(
            count, scalar_labels(labels) if _are_numbers(labels) else None, digest.hexdigest(), known
        )

    def _unbatched(self) -> Iterator[tuple[dict[str, Array], Any]]:
        number = -1
        for number, item in enumerate(self._items()):
            inputs, label = _pair(item, f"Element {number} of '{self.name}'", self._images)
            yield from self._split(inputs, label, f"Element {number} of '{self.name}'")

    def _items(self) -> Iterator[Any]:
        what, cure = f"'{self.name}' failed with", "Expected an iterable of (inputs, label)."
        with refused(what, cure):
            items = iter(self._function())
        yield from guarded(items, what, cure)

    def _split(
        self, inputs: dict[str, Array], label: Any, where: str
    ) -> Iterator[tuple[dict[str, Array], Any]]:
        sizes = {self._batch(name, array) for name, array in inputs.items()}
        if None in sizes or not sizes:
            yield inputs, label
            return
        if len(sizes) > 1:
            raise DataError(
                f"{where} has batches of different sizes: {sorted(s for s in sizes if s is not None)}."
            )
        size = sizes.pop() or 0
        labels = _unbatched_labels(label, size, where)
        for i in range(size):
            yield {name: array[i] for name, array in inputs.items()}, labels[i]

    def _batch(self, name: str, array: Array) -> int | None:
        """The number of samples in a batch, or None for one sample (or what validation will refuse)."""
        spec = self._specs.get(name) or (next(iter(self._specs.values())) if len(self._specs) == 1 else None)
        if spec is None or array.ndim == 0 or fit_shape(array, spec) is not None:
            return None
        if len(array) == 0 or fit_shape(array[0], spec) is None:
            return None
        return len(array)


def _pair(item: Any, where: str, images: HeldImages) -> tuple[dict[str, Array], Any]:
    """Inputs by name and the label; a tuple is a pair, a list only when its first element is an array."""
    label = None
    is_pair = isinstance(item, tuple) or (isinstance(item, list) and item and _is_inputs(item[0]))
    if is_pair:
        if len(item) not in (1, 2, 3):
            raise DataError(
                f"{where} is a tuple of {len(item)}. Expected (inputs, label), (inputs, label, weight) "
                "or inputs."
            )
        label = item[1] if len(item) > 1 else None
        label = weighted(label, item[2]) if len(item) == 3 else label
        item = item[0]
    named = item if isinstance(item, Mapping) else {"x": item}
    try:
        held = {str(name): images.array(str(name), value, where) for name, value in named.items()}
        return {name: np.asarray(value) for name, value in held.items()}, label
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise DataError(f"{where} is not an array: {str(error).rstrip('.')}.") from error


def _array(label: Any, where: str) -> Array:
    try:
        return np.asarray(label)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise DataError(f"{where} has labels that are no array: {str(error).rstrip('.')}.") from error


def split_labels(label: Any) -> tuple[Any, dict[str, Any]]:
    """The label without a name, and those with one.

    A mapping names its labels, "" the one without a name. A tuple of arrays, or a list of arrays of
    different shapes, labels the outputs in their order: their names are ``#0``, ``#1`` and so on.

    Example:
        >>> split_labels(3), split_labels({"digit": 3})
        ((3, {}), (None, {'digit': 3}))
    """
    if isinstance(label, Mapping):
        return label.get(""), {str(name): value for name, value in label.items() if name != ""}
    if isinstance(label, tuple | list) and any(hasattr(x, "shape") for x in label):
        alike = isinstance(label, list) and len({np.shape(x) for x in label}) == 1
        return (np.asarray(label), {}) if alike else (None, {f"#{i}": value for i, value in enumerate(label)})
    return label, {}


def weighted(label: Any, weight: Any) -> Any:
    """Return a label with the weight of its sample, as a mapping.

    Example:
        >>> weighted(3, 0.5), weighted({"digit": 3}, None)
        ({'': 3, 'sample_weight': 0.5}, {'digit': 3})
    """
    if weight is None:
        return label
    plain, named = split_labels(label)
    return ({} if plain is None else {"": plain}) | named | {WEIGHT: weight}


def _unbatched_labels(label: Any, size: int, where: str) -> list[Any]:
    """One label for each sample of a batch, of every output where there are several."""
    if label is None:
        return [None] * size
    ragged = isinstance(label, list) and len(label) == size and any(np.shape(x)[:1] != (size,) for x in label)
    plain, named = (label, {}) if ragged else split_labels(label)
    if named:
        named = named if plain is None else {"": plain, **named}
        columns = {name: _rows_of(value, size, where) for name, value in named.items()}
        return [{name: rows[i] for name, rows in columns.items()} for i in range(size)]
    return list(_rows_of(plain, size, where))


def _rows_of(value: Any, size: int, where: str) -> Any:
    """The rows of a batch's labels; lists may hold rows of different lengths."""
    rows = value if isinstance(value, list) else np.asarray(value)
    count = len(rows) if isinstance(rows, list) or rows.ndim else -1
    if count != size:
        shape = (count,) if isinstance(rows, list) else rows.shape
        raise DataError(f"{where} has {size} samples and labels of shape {shape}. Expected one a sample.")
    return rows


def _number_or_none(label: Any) -> Any:
    return label if label is not None and not isinstance(label, str) and np.ndim(label) == 0 else None


def _are_numbers(labels: list[Any]) -> bool:
    return bool(labels) and all(label is not None for label in labels)


def _is_inputs(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "shape") or is_picture(value)


def _label(record: DataRecord) -> Any:
    try:
        return label_of(record.label)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{record.name} has a label that is no array: {error}. Pass numbers.") from error


def _update(digest: Any, name: str, array: Array) -> None:
    digest.update(f"{name}\0{array.shape}\0{array.dtype.str}\0".encode())
    digest.update(array.tobytes())
