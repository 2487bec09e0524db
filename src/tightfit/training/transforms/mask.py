"""``Mask``: the pruning transform, with masks of ``weights.patterns`` and a sparsity schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tightfit.graph.ir import Tensor
from tightfit.training.graph_weights import TrainedWeight
from tightfit.training.transforms.sparsity_schedules import OneShot, Schedule
from tightfit.weights.patterns import UNSTRUCTURED, keep, keep_globally
from tightfit.weights.zeros import COUNTED, check_zeros, layer_sparsity, smallest_pruned

Attached = Callable[[Any, Any], Any]


@keras.saving.register_keras_serializable("tightfit")
class Mask:
    """The pruning transform: keep the largest weights and set the others to zero.

    Args:
        schedule: the sparsity at each step (``sparsity_schedules``); a number means ``OneShot``.
        pattern: ``unstructured``, N:M, or blocks (``patterns.check_pattern``).
        scope: ``layer``: each pruned layer has the sparsity; ``file``: all weights of the network in tensors
            of 256 elements or more; ``global``: the pruned layers together (unstructured only).
        smallest: weights with fewer elements are not pruned; None decides by their sizes
            (``weights.zeros.smallest_pruned``).
        depthwise: prune depthwise convolutions too. They have few weights and lose the most accuracy: with
            half of them pruned, a classifier fell from 0.85 to 0.41, with the other layers pruned before.
    """

    def __init__(
        self,
        schedule: Schedule | float,
        pattern: str = UNSTRUCTURED,
        scope: str = "layer",
        smallest: int | None = None,
        *,
        depthwise: bool = False,
    ) -> None:
        self.schedule = OneShot(schedule) if isinstance(schedule, int | float) else schedule
        self.pattern, self.smallest = pattern, smallest
        check_zeros(self.schedule.sparsity, pattern, scope)
        self.scope, self.depthwise = scope, depthwise
        self.sites: list[tuple[TrainedWeight, Any]] = []
        self.counted = self.least = 0

    def attach_all(self, owner: Any, weights: Mapping[Tensor, TrainedWeight]) -> dict[Tensor, Attached]:
        """Return a transform for each weight, with a mask of its own."""
        self.sites = []
        self.counted = sum(w.values.size for w in weights.values() if w.values.size >= COUNTED)
        attached: dict[Tensor, Attached] = {}
        self.least = self.smallest or smallest_pruned(
            w.values.size for w in weights.values() if not self.stays_dense(w)
        )
        for tensor, weight in weights.items():
            if weight.values.size < self.least or self.stays_dense(weight):
                continue
            mask = owner.add_state(weight.name, "mask", np.ones(weight.values.shape), trainable=False)
            self.sites.append((weight, mask))
            attached[tensor] = _masking(mask)
        self.update(0)
        return attached

    def stays_dense(self, weight: TrainedWeight) -> bool:
        """Return True for a depthwise convolution's weights, unless ``depthwise`` is set."""
        return weight.op.kind == "DEPTHWISE_CONV_2D" and not self.depthwise

    def update(self, step: int) -> None:
        """Update the masks for a step from the present weights; not after the schedule's end."""
        end = self.schedule.end
        if end is None or step <= end:
            self._prune(self.schedule(step))

    def finish(self) -> None:
        """Update the masks to the final sparsity."""
        self._prune(self.schedule.sparsity)

    def layer_sparsity(self, sparsity: float) -> float:
        """Return the sparsity of the pruned layers where the scope has a sparsity."""
        if self.scope != "file":
            return sparsity
        pruned = sum(weight.values.size for weight, _ in self.sites)
        return layer_sparsity(sparsity, pruned, self.counted, self.pattern)

    def _prune(self, sparsity: float) -> None:
        sparsity = self.layer_sparsity(sparsity)
        values = [np.asarray(ops.convert_to_numpy(weight.variable)) for weight, _ in self.sites]
        if self.scope == "global" and values:
            masks = keep_globally(values, sparsity)
        else:
            masks = [
                keep(v, sparsity, self.pattern, weight.output_axis)
                for v, (weight, _) in zip(values, self.sites, strict=True)
            ]
        for found, (_, mask) in zip(masks, self.sites, strict=True):
            mask.assign(found.astype(np.float32))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "pattern": self.pattern, "scope": self.scope, "smallest": self.smallest,
            "depthwise": self.depthwise,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Mask:
        """Return the transform of ``get_config``."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**{**config, "schedule": schedule})


def _masking(mask: Any) -> Attached:
    return lambda value, _: value * ops.cast(mask, value.dtype)
