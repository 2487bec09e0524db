"""Keras callbacks of a training: mask updates, and a stop when the loss is NaN."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tightfit.training.network import Network
from tightfit.training.transforms.weight_transforms import Mask


class UpdateMasks(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Updates the masks of a network every few steps until the end of their schedule.

    Args:
        network: a network, with or without a ``Mask`` among its transforms.
        every: number of steps between two updates.
        start: the first step of a resumed training.
    """

    def __init__(self, network: Network, every: int = 100, start: int = 0) -> None:
        super().__init__()
        self.masks = [t for t in network.transforms if isinstance(t, Mask)]
        self.every, self.step = every, start

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Update the masks when it is time."""
        if self.masks and self.step % self.every == 0:
            self.update()
        self.step += 1

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Update the masks a last time, so that the final sparsity is reached for any number of steps."""
        for mask in self.masks:
            if mask.schedule.end is None or self.step <= mask.schedule.end:
                self.update()

    def settled(self, steps: int) -> bool:
        """Return whether the masks have the final sparsity after a number of steps."""
        last = (steps - 1) // self.every * self.every
        return all(mask.schedule(last) >= mask.schedule.sparsity for mask in self.masks)

    def update(self) -> None:
        """Update the masks for the present step; on JAX the variables are synchronized first."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        for mask in self.masks:
            mask.update(self.step)


class StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Stops the training after an epoch whose loss is not finite.

    Attributes:
        failed: the epoch, from 0, whose loss was NaN or infinite, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed: int | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop the training when the loss is not finite."""
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.failed = epoch
            self.model.stop_training = True


class KeepLastGood(StopAtNaN):
    """Stops the training at a NaN loss and restores the weights of the last good epoch.

    For a training without checkpoints; it holds a copy of the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.good: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Copy the initial weights."""
        self.good = self._copies()

    def _copies(self) -> list[Any]:
        """Copies of the weights: on JAX the arrays may be views of memory that the next step reuses."""
        return [np.array(w) for w in self.model.get_weights()]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy the weights, or stop the training when the loss is not finite."""
        super().on_epoch_end(epoch, logs)
        if self.failed is None:
            self.good = self._copies()

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Restore the last good weights."""
        if self.failed is not None and self.good is not None:
            self.model.set_weights(self.good)
