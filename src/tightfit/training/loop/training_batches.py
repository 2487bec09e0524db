"""Training batches for ``fit``, shuffled by seed and epoch, so that a resumed training repeats them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import keras
import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample
from tightfit.errors import DataError
from tightfit.training.loop.augmentation import augment, check_augmentations
from tightfit.types import Array

Targets = Callable[[Sample], dict[str, Array]]

_KEPT_BYTES: Final = 1_500_000_000


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The training batches: inputs by name (or one array), and optionally labels.

    Samples are decoded once and kept in memory up to 1.5 GB; others are decoded in each epoch.

    Args:
        dataset: the samples.
        indices: the samples to train with.
        size: samples in a batch.
        targets: returns what each output of a sample should be, by name; None without labels.
        seed: seed of the shuffling.
        epoch: the first epoch.
        augment: names of image augmentations (``augmentation``).

    Raises:
        DataError: there are fewer samples than one batch.
        OptionError: an augmentation is unknown or cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the options of one feed
        self, dataset: Dataset, indices: Sequence[int] | Array, size: int, *,
        targets: Targets | None, seed: int = 0, epoch: int = 0, augment: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.dataset, self.indices, self.size = dataset, [int(i) for i in indices], size
        self.targets, self.seed, self.epoch = targets, seed, epoch
        self.augment = check_augmentations(augment, labelled=targets is not None)
        if len(self.indices) < size:
            raise DataError(
                f"There are {len(self.indices)} samples to train with and a batch takes {size}. "
                "Give more data or a smaller batch."
            )
        self.kept: dict[int, Any] = {}
        self.bytes = 0
        self._shuffle()

    def __len__(self) -> int:
        return math.floor(len(self.indices) / self.size)

    def __getitem__(self, batch: int) -> Any:
        chosen = self.order[batch * self.size : (batch + 1) * self.size]
        samples = self._samples([self.indices[i] for i in chosen])
        names = list(samples[0][0])
        arrays = {n: np.concatenate([inputs[n] for inputs, _ in samples]) for n in names}
        arrays = augment(arrays, self.augment, np.random.default_rng([self.seed, self.epoch, batch]))
        x = arrays if len(names) > 1 else arrays[names[0]]
        if self.targets is None:
            return (x,)
        return x, {name: np.stack([wanted[name] for _, wanted in samples]) for name in samples[0][1]}

    def _samples(self, wanted: list[int]) -> list[Any]:
        missing = [i for i in wanted if i not in self.kept]
        found = {
            i: ({n: np.asarray(a) for n, a in s.inputs.items()}, self._wanted(s))
            for i, s in zip(sorted(set(missing)), self.dataset.samples(sorted(set(missing))), strict=True)
        }
        size = sum(a.nbytes for inputs, _ in found.values() for a in inputs.values())
        if self.bytes + size <= _KEPT_BYTES:
            self.kept.update(found)
            self.bytes += size
        return [found.get(i) or self.kept[i] for i in wanted]

    def _wanted(self, sample: Sample) -> dict[str, Array]:
        return {} if self.targets is None else self.targets(sample)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.indices))
