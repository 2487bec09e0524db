"""What has to happen between training steps: masks follow their schedule, a NaN loss stops the training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tightfit.training.network import Network
from tightfit.training.transforms.weight_transforms import Mask


class UpdateMasks(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Chooses the masks of a network anew every few steps while their schedule lasts.

    Args:
        network: with a ``Mask`` among its transforms; without one nothing happens.
        every: how many steps lie between two choices.
        start: the step that the training begins with, when it is resumed.
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
        """Update the masks a last time: the final sparsity is reached whatever the number of steps."""
        for mask in self.masks:
            if mask.schedule.end is None or self.step <= mask.schedule.end:
                self.update()

    def update(self) -> None:
        """Choose the masks for the step; on JAX the variables are brought up to date before."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        for mask in self.masks:
            mask.update(self.step)


class KeepLastGood(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Stops at a NaN loss and puts the weights of the last epoch without one back.

    Attributes:
        failed: the epoch, from 0, whose loss was NaN or infinite, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed: int | None = None
        self.good: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Keep the weights that the training starts from."""
        self.good = self._copies()

    def _copies(self) -> list[Any]:
        """Copies: on JAX the arrays may be views of memory that the next step takes over."""
        return [np.array(w) for w in self.model.get_weights()]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the weights, or takes the last ones back."""
        if np.isfinite((logs or {}).get("loss", 0.0)):
            self.good = self._copies()
            return
        self.failed = epoch
        self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Put the last good weights back."""
        if self.failed is not None and self.good is not None:
            self.model.set_weights(self.good)
