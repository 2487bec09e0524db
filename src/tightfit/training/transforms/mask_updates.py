"""``UpdateMasks``: moves the masks of a network along their schedules while it trains."""

from __future__ import annotations

from typing import Any, Final

import keras

from tightfit.training.transforms.mask import Mask

_UPDATES: Final = 40
"""Mask updates in a schedule that ends, by default."""
_EVERY: Final = 100
"""Steps between two updates of a schedule without an end, by default."""


class UpdateMasks(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Updates the masks of a network every few steps until the end of their schedule.

    ``fit`` of a ``Network`` and of a ``Distillation`` adds one where none is given.

    Args:
        network: a network, with or without a ``Mask`` among its transforms.
        every: number of steps between two updates; None for a fortieth of the schedule, or 100 without an
            end.
        start: the first step of a resumed training.
    """

    def __init__(self, network: Any, every: int | None = None, start: int = 0) -> None:
        super().__init__()
        self.masks = [t for t in network.transforms if isinstance(t, Mask)]
        ends = [mask.schedule.end for mask in self.masks if mask.schedule.end]
        self.every = every or max(1, min(ends) // _UPDATES if ends else _EVERY)
        self.step, self.last = start, -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Update the masks when it is time."""
        if self.masks and self.step % self.every == 0:
            self.update(self.step)
        self.step += 1

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Update the masks a last time, so that the final sparsity is reached for any number of steps."""
        ends = [mask.schedule.end for mask in self.masks]
        if any(end is None or self.last < end for end in ends):
            self.update(self.step)

    def settled(self, steps: int) -> bool:
        """Return whether the masks have the final sparsity after a number of steps."""
        last = (steps - 1) // self.every * self.every
        return all(mask.schedule(last) >= mask.schedule.sparsity for mask in self.masks)

    def update(self, step: int) -> None:
        """Update the masks for a step; on JAX the variables are synchronized first.

        A schedule that ended since the last update is brought to its end.
        """
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        for mask in self.masks:
            end = mask.schedule.end
            if end is None or self.last < end:
                mask.update(step if end is None else min(step, end))
        self.last = step


def with_mask_updates(network: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``fit`` with a callback that updates the masks, where none does.

    Args:
        network: a ``Network``.
        options: keyword arguments of ``fit``.
    """
    given = options.get("callbacks")
    known = list(getattr(given, "callbacks", None) or ([given] if _is_callback(given) else given or []))
    moved = any(isinstance(c, UpdateMasks) for c in known)
    if moved or not any(isinstance(t, Mask) for t in network.transforms):
        return options
    return options | {"callbacks": [*known, UpdateMasks(network, start=_steps_done(network))]}


def _is_callback(given: Any) -> bool:
    return isinstance(given, keras.callbacks.Callback) and not hasattr(given, "callbacks")


def _steps_done(network: Any) -> int:
    """The step that a second call of ``fit`` begins at."""
    optimizer = getattr(network, "optimizer", None)
    if optimizer is None:
        return 0
    accumulated = getattr(optimizer, "gradient_accumulation_steps", None) or 1
    return int(keras.ops.convert_to_numpy(optimizer.iterations)) * accumulated
