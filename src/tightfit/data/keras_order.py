"""Inputs and labels as Keras takes them: lists or tuples of arrays in the order of the model's inputs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tightfit.data.sample import InputSpec, fit_shape, shape_text
from tightfit.errors import DataError

_MOST_INPUTS: Final = 16
_MOST_ORDERED: Final = 7


def by_name(data: Any, inputs: Sequence[InputSpec], outputs: Sequence[str]) -> Any:
    """Return data with its lists of whole arrays as dicts by name; other data as it is.

    ``[a, b]`` and ``(a, b)`` are the inputs of a model of two, ``([a, b], [y1, y2])`` inputs and labels,
    each where only one order fits their shapes. One list of samples stays a list of samples: its arrays have
    the shape of one.

    Args:
        data: an object of the caller.
        inputs: the model's, in its order.
        outputs: names of the model's outputs.

    Raises:
        DataError: one array for a model of several inputs, or arrays that fit no input in this order.

    Example:
        >>> specs = [InputSpec("a", (1, 2), "float32"), InputSpec("b", (1, 3), "float32")]
        >>> sorted(by_name([np.zeros((4, 2)), np.zeros((4, 3))], specs, []))
        ['a', 'b']
    """
    whole = _named_inputs(data, inputs)
    if whole is not None:
        return whole
    if len(inputs) > 1 and (_is_array(data) or (isinstance(data, list) and _are_arrays(data))):
        raise DataError(_wanted(_text(data), inputs))
    if isinstance(data, tuple) and len(data) in (2, 3):
        x, y, *weight = data
        named = _named_inputs(x, inputs)
        if named is None and len(inputs) > 1 and (_is_array(x) or _are_arrays(x)):
            raise DataError(_wanted(_text(x), inputs))
        labels = _named_labels(y, outputs)
        return (x if named is None else named, y if labels is None else labels, *weight)
    return data


def _named_inputs(given: Any, inputs: Sequence[InputSpec]) -> dict[str, Any] | None:
    """The arrays by input name; None where they are no list of one array for each input."""
    if not _are_arrays(given) or len(given) != len(inputs) or len(inputs) > _MOST_INPUTS:
        return None
    fits = [[_is_whole(array, spec) for spec in inputs] for array in given]
    if not all(map(any, fits)):
        return None
    order = only_order(fits, [spec.name for spec in inputs])
    if order is None:
        raise DataError(_wanted(_text(given), inputs))
    return {inputs[place].name: array for place, array in zip(order, given, strict=True)}


def only_order(fits: Sequence[Sequence[bool]], names: Sequence[str]) -> list[int] | None:
    """Return the place of each array where only one order fits.

    A converted file sorts its inputs and outputs by name, so the order of the Keras model is lost: where
    several orders fit, only numbered names decide.

    Args:
        fits: one row an array, one column a place: whether the array fits there.
        names: of the places.

    Example:
        >>> only_order([[False, True], [True, True]], ["a", "b"])
        [1, 0]
        >>> only_order([[True, True], [True, True]], ["a", "b"]) is None
        True
        >>> only_order([[True, True], [True, True]], ["output_0", "output_1"])
        [0, 1]
    """
    if len(fits) != len(names) or len(names) > _MOST_ORDERED:
        return None
    orders = [o for o in itertools.permutations(range(len(names))) if all(map(_at, fits, o))]
    numbers = [int(found[1]) for name in names if (found := re.search(r"(\d+)\D*$", name))]
    if len(orders) > 1 and len(numbers) == len(names):
        by_number = sorted(range(len(names)), key=numbers.__getitem__)
        orders = [o for o in orders if list(o) == by_number]
    return list(orders[0]) if len(orders) == 1 else None


def _at(row: Sequence[bool], place: int) -> bool:
    return row[place]


def _named_labels(given: Any, outputs: Sequence[str]) -> dict[str, Any] | None:
    """The labels by number, where there is one array for each of several outputs; see ``read_labels``."""
    if len(outputs) < 2 or not _are_arrays(given) or len(given) != len(outputs):
        return None
    return {f"#{i}": array for i, array in enumerate(given)}


def _is_whole(array: Any, spec: InputSpec) -> bool:
    """True for an array of many samples of an input, its first axis counts them."""
    shape = np.shape(array)
    if len(shape) < 1 or not shape[0]:
        return False
    return fit_shape(np.broadcast_to(np.float32(0), shape[1:]), spec) is not None


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "__array__")


def _are_arrays(given: Any) -> bool:
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(_is_array(each) and np.ndim(each) > 0 for each in given)
    )


def _text(given: Any) -> str:
    if _is_array(given):
        return f"one array of shape {shape_text(np.shape(given))}"
    return f"arrays of shape {' and '.join(shape_text(np.shape(each)) for each in given[:4])}"


def _wanted(received: str, inputs: Sequence[InputSpec]) -> str:
    named = ", ".join(f"'{spec.name}' ({shape_text(spec.sample_shape)})" for spec in inputs)
    return (
        f"Received {received} as inputs, and the model has {len(inputs)} inputs: {named}. Pass one array for "
        "each; where several have one shape, pass a dict of arrays by input name."
    )
