"""The accumulator grids of integer ops: weight scales with room for the bias, and biases rounded to them.

For one layer this is a dozen ops on a few numbers, each of which takes as long as one on a thousand: in a
small network as long as its convolutions. Therefore the vectors of all layers are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.training.fake_quant.learned_scales import parts
from tightfit.training.fake_quant.quantizers import WeightQuantizer

Use = tuple[int, int]
InputScale = Callable[[int, dict[Any, Any]], Any]
"""A function of (op index, cache of a call) that returns the scale of the op's input activation."""

_BIAS_ROOM: Final = {"int32": 2.0**30, "int64": 2.0**46}


def bias_room(dtype: str) -> float:
    """Return the largest integer of a bias: half of the accumulator's range; the rest is for the sum.

    Example:
        >>> bias_room("int32") == 2.0**30
        True
    """
    return _BIAS_ROOM[dtype]


@dataclass(eq=False)
class Accumulator:
    """The accumulator of one integer op.

    Args:
        weight: (op index, input position) of the weight.
        bias: (op index, input position) of the bias.
        quantizer: fake-quantizer of the weight.
        weights: trained variable of the weight.
        values: trained variable of the bias.
        dtype: type of the stored bias.
    """

    weight: Use
    bias: Use
    quantizer: WeightQuantizer
    weights: Any
    values: Any
    dtype: str

    @property
    def size(self) -> int:
        """The number of biases."""
        return int(np.prod(self.values.shape))


class Accumulators:
    """The accumulators of all integer ops of a network with a bias.

    A weight scale is at least ``|bias| / (input scale · room)``, unless scales are fixed. A bias becomes
    ``round(bias / grid) · grid`` with ``grid = input scale · weight scale``. Its gradient is passed to the
    trained bias only: the effect of the scales is below a millionth of their range.
    """

    def __init__(self, sums: Sequence[Accumulator], input_scale: InputScale) -> None:
        self.sums, self.input_scale = sums, input_scale
        self.places = {s.bias: i for i, s in enumerate(self.sums)}
        self.numbers = {s.quantizer: i for i, s in enumerate(self.sums)}
        counts = [s.quantizer.initial.size for s in self.sums]
        self.owners = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum([0, *counts])[:-1]
        each = zip(self.sums, starts, counts, strict=True)
        entries = [
            start + (np.arange(s.size) if count > 1 else np.zeros(s.size, int)) for s, start, count in each
        ]
        self.entries = np.concatenate(entries) if entries else np.zeros(0, int)
        # Ops that share a weight share its scales: each entry belongs to that of the last op with the weight.
        last = [
            starts[self.numbers[s.quantizer]] + np.arange(c) for s, c in zip(self.sums, counts, strict=True)
        ]
        self.slots = np.concatenate(last) if last else np.zeros(0, int)

    def __contains__(self, place: Use) -> bool:
        return place in self.places

    def scales(self, quantizer: WeightQuantizer, cache: dict[Any, Any]) -> Any:
        """Return the present scales of a weight, (channels,) or (1,); None for one without accumulators."""
        number = self.numbers.get(quantizer)
        return None if number is None else self._formed(cache)[0][number]

    def bias(self, place: Use, cache: dict[Any, Any]) -> Any:
        """Return a bias on its grid."""
        number = self.places[place]
        values, change = self.sums[number].values, self._formed(cache)[1][number]
        return values + ops.reshape(change, values.shape)

    def _formed(self, cache: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
        if self not in cache:
            cache[self] = self._form(cache)
        found: tuple[list[Any], list[Any]] = cache[self]
        return found

    def _form(self, cache: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
        """Return the scales of each weight, and the change of each bias by rounding."""
        scales = ops.concatenate([s.quantizer.scales(cache, s.weights) for s in self.sums])
        biases = ops.stop_gradient(ops.concatenate([ops.reshape(s.values, (-1,)) for s in self.sums]))
        given = ops.stack([self.input_scale(s.weight[0], cache) for s in self.sums])
        inputs = ops.take(ops.stop_gradient(given), self.owners)
        if any(s.quantizer.ranges != "fixed" for s in self.sums):
            least = self._largest(ops.abs(biases)) / (inputs * self._rooms())
            if len(self.numbers) < len(self.sums):
                least = ops.take(ops.segment_max(least, self.slots, num_segments=least.shape[0]), self.slots)
            scales = ops.maximum(scales, least)
        grid = self._spread(ops.stop_gradient(scales) * inputs)
        change = ops.round(biases / grid) * grid - biases
        return _split(scales, self.owners), _split(change, self.owners[self.entries])

    def _rooms(self) -> Any:
        rooms = np.asarray([bias_room(s.dtype) for s in self.sums], np.float32)
        return ops.convert_to_tensor(rooms[self.owners])

    @property
    def _one_each(self) -> bool:
        """True when every bias has a scale of its own."""
        return self.entries.size == self.owners.size

    def _largest(self, values: Any) -> Any:
        """The largest of the values that share a scale."""
        if self._one_each:
            return values
        return ops.segment_max(values, self.entries, num_segments=self.owners.size)

    def _spread(self, scales: Any) -> Any:
        """One scale for each bias."""
        return scales if self._one_each else ops.take(scales, self.entries)


def _split(values: Any, owners: Any) -> list[Any]:
    return parts(values, (np.flatnonzero(np.diff(owners)) + 1).tolist())
