"""Training batches of block reconstruction: a block's inputs and its wanted outputs."""

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
    """The inputs and wanted outputs of a block, name → array of (samples, …).

    Args:
        device: the block's inputs in the quantized model.
        exact: the block's inputs in the float model.
        wanted: the block's outputs in the float model.
    """

    device: Mapping[str, Array]
    exact: Mapping[str, Array]
    wanted: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.wanted.values())))


class BlockBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """One batch for each step, drawn by seed and step.

    Args:
        examples: the inputs and wanted outputs of the block.
        size: samples in a batch; all samples where there are fewer.
        steps: number of batches.
        seed: the seed of the draws.
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
    """A random half of the values from each array (QDrop); integers are the same in both."""
    if device.dtype != np.float32:
        return device
    return np.where(random.random(device.shape, np.float32) < _DEVICE_SHARE, device, exact)
