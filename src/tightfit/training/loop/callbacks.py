"""Keras callbacks of a training: a stop at a NaN loss, with or without copies of the weights; progress."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tightfit.training.transforms.mask_updates import UpdateMasks


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


class Steps(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Calls the progress callback after each step.

    Args:
        listener: called with (stage, step, steps, metrics); None for nothing.
        stage: index of the stage.
        done: steps that are done already.
        length: (steps of an epoch, epochs).
    """

    def __init__(self, listener: Any, stage: int, done: int, length: tuple[int, int]) -> None:
        super().__init__()
        self.listener, self.stage, self.done = listener, stage, done
        self.steps, self.epochs = length

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Call the progress callback."""
        self.done += 1
        if self.listener is not None:
            epoch = {"epoch": -(-self.done // max(self.steps, 1)), "epochs": self.epochs}
            self.listener(
                f"stage {self.stage + 1}", self.done, self.steps * self.epochs, {**(logs or {}), **epoch}
            )


__all__ = ["KeepLastGood", "Steps", "StopAtNaN", "UpdateMasks"]
