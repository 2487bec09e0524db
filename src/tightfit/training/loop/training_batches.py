"""Training batches for ``fit``, shuffled by seed and epoch, so that a resumed training repeats them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample
from tightfit.errors import DataError
from tightfit.training.loop.augmentation import augment, check_augmentations
from tightfit.training.loop.batch_share import WHOLE, Share
from tightfit.training.loop.kept_samples import KeptSamples
from tightfit.training.losses.label_targets import stack_targets, weight_of
from tightfit.types import Array

Targets = Callable[[Sample], dict[str, Any]]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The training batches: inputs by name (or one array), and optionally labels.

    Samples are decoded once and kept in a temporary file up to 1.5 GB; others are decoded in each epoch.

    Args:
        dataset: the samples.
        indices: the samples to train with.
        size: samples in a batch.
        targets: returns what each output of a sample should be, by name; None without labels.
        weighted: give the samples' weights too.
        seed: seed of the shuffling.
        epoch: the first epoch.
        augment: names of image augmentations (``augmentation``), or functions like them.
        measures: for data that measures: every sample once, in order.
        share: the rows of each batch that this process gives; ``size`` is that of the whole batch.

    Raises:
        DataError: there are fewer samples than one batch.
        OptionError: an augmentation is unknown or cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the options of one feed
        self, dataset: Dataset, indices: Sequence[int] | Array, size: int, *,
        targets: Targets | None, weighted: bool = False, seed: int = 0, epoch: int = 0,
        augment: Sequence[Any] = (), measures: bool = False, share: Share = WHOLE,
    ) -> None:  # fmt: skip
        super().__init__()
        size = min(size, len(indices)) if measures else size
        self.dataset, self.indices, self.size = dataset, [int(i) for i in indices], size
        self.targets, self.seed, self.epoch = targets, seed, epoch
        self.weighted, self.measures = weighted and targets is not None, measures
        self.augment = check_augmentations(augment, labelled=targets is not None)
        self.share = share
        if len(self.indices) < size:
            raise DataError(
                f"There are {len(self.indices)} samples to train with and a batch takes {size}. "
                "Give more data or a smaller batch."
            )
        self.kept = KeptSamples()
        self._complete = dataset.source.kind != "function"
        self._shuffle()

    def __len__(self) -> int:
        batches = len(self.indices) / self.size
        return math.ceil(batches) if self.measures else math.floor(batches)

    def __getitem__(self, batch: int) -> Any:
        chosen = self.order[batch * self.size : (batch + 1) * self.size]
        if not self.augment:
            return self._stacked(self.share.of(chosen), batch)
        # Augmentations draw for, and mix, the samples of a whole batch.
        whole = self._stacked(chosen, batch)
        return keras.tree.map_structure(self.share.of, whole) if self.share.count > 1 else whole

    def _stacked(self, chosen: Any, batch: int) -> Any:
        """The samples as arrays, augmented."""
        samples = self._samples([self.indices[i] for i in chosen])
        names = list(samples[0][0])
        arrays = {n: np.concatenate([inputs[n] for inputs, _, _ in samples]) for n in names}
        arrays = augment(arrays, self.augment, np.random.default_rng([self.seed, self.epoch, batch]))
        x = arrays if len(names) > 1 else arrays[names[0]]
        if self.targets is None:
            return (x,)
        y = stack_targets([wanted for _, wanted, _ in samples])
        if not self.weighted:
            return x, y
        return x, y, np.array([weight for _, _, weight in samples], np.float32)

    def _samples(self, wanted: list[int]) -> list[Any]:
        if not self._complete:
            self._keep_all()
        missing = sorted({i for i in wanted if i not in self.kept})
        found = dict(zip(missing, map(self._entry, self.dataset.samples(missing)), strict=True))
        for number, entry in found.items():
            self.kept.add(number, entry)
        return [found[i] if i in found else self.kept.get(i) for i in wanted]

    def _keep_all(self) -> None:
        """Read the samples in one pass: a function has to start anew for each batch that is not kept."""
        for sample in self.dataset.samples(sorted(set(self.indices))):
            if not self.kept.add(sample.index, self._entry(sample)):
                break
        self._complete = True

    def _entry(self, sample: Sample) -> tuple[dict[str, Array], dict[str, Any], float]:
        return {n: np.asarray(a) for n, a in sample.inputs.items()}, self._wanted(sample), weight_of(sample)

    def _wanted(self, sample: Sample) -> dict[str, Any]:
        return {} if self.targets is None else self.targets(sample)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        count = len(self.indices)
        random = np.random.default_rng([self.seed, self.epoch])
        self.order = np.arange(count) if self.measures else random.permutation(count)
