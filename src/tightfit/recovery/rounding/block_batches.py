"""What a block of a network learns from: batches of its inputs and of the outputs that it should have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from tightfit.types import Array

_DEVICE_SHARE: Final = 0.5


@dataclass(frozen=True)
class Examples:
    """What a block reads and should answer, arrays of (samples, …) by name.

    Args:
        device: inputs as the quantized model before the block gives them.
        exact: as the float model does.
        wanted: outputs of the float model.
    """

    device: Mapping[str, Array]
    exact: Mapping[str, Array]
    wanted: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.wanted.values())))


class BlockBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """One batch a step, drawn by seed and step.

    Args:
        size: samples of a batch, all where there are fewer.
        steps: how many batches there are.
    """

    def __init__(self, examples: Examples, size: int, steps: int, seed: Sequence[int]) -> None:
        super().__init__()
        self.examples, self.size, self.steps, self.seed = examples, min(size, len(examples)), steps, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Any:
        random = np.random.default_rng([*self.seed, step])
        chosen = np.sort(random.choice(len(self.examples), self.size, replace=False))
        inputs = {
            name: _mixed(np.array(values[chosen]), np.array(self.examples.exact[name][chosen]), random)
            for name, values in self.examples.device.items()
        }
        return inputs, {name: np.array(values[chosen]) for name, values in self.examples.wanted.items()}


def _mixed(device: Array, exact: Array, random: np.random.Generator) -> Array:
    """A half of the values of each kind; integers are the same in both."""
    if device.dtype != np.float32:
        return device
    return np.where(random.random(device.shape, np.float32) < _DEVICE_SHARE, device, exact)
