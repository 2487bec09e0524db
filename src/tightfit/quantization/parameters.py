"""Scales and zero points of activations: one for each group, as fine as ranges and kernels allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import LIMITS, activation_parameters, weight_scales
from tightfit.quantization.groups import Groups, ScaleNode, node_of
from tightfit.quantization.ops.op_rule import OpRule, least_output_scale
from tightfit.quantization.ops.rule_lookup import real_inputs, real_outputs, weight_of
from tightfit.quantization.plan import Storage

_PASSES: Final = 4
"""Most passes: raising one scale may require raising another; longer chains do not occur."""


class Parameters:
    """The storage of every group: fixed by a kernel, or the union of its members' ranges."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self._storages: dict[ScaleNode, Storage] = {}
        for root, nodes in groups.members().items():
            self._storages[root] = self._fixed_storage(root) or self._free_storage(nodes)
        for _ in range(_PASSES):
            if sum(self._coarsen(op, *facts) for op, facts in groups.ops.items()) == 0:
                break

    def _fixed_storage(self, root: ScaleNode) -> Storage | None:
        fixed = self.groups.fixed.get(root)
        if fixed is None:
            return None
        return Storage(root.dtype, (float(np.float32(fixed[0])),), (fixed[1],), reason="fixed by the kernel")

    def _free_storage(self, nodes: list[ScaleNode]) -> Storage:
        limits = [
            r for n in nodes if n not in self.groups.stretched and (r := self.groups.range_of(n)) is not None
        ]
        limits = limits or [r for n in nodes if (r := self.groups.range_of(n)) is not None]
        low, high = min(x for x, _ in limits), max(x for _, x in limits)
        dtype = nodes[0].dtype
        scale, zero_point = activation_parameters(low, high, dtype)
        values = {node.tensor for node in nodes if node.use is None}
        reason = "calibrated" if values else "its values"
        if len(values) > 1:
            reason = f"shared by {len(values)} tensors"
        step = float(np.float32(scale))
        return Storage(dtype, (step,), (zero_point,), reason=reason, range=(low, high))

    def _coarsen(self, op: Op, rule: OpRule, dtype: str) -> bool:
        """Raise the output's scale to the least for which the kernel is correct; return True on a change."""
        scales = [s.scale[0] for i, _ in real_inputs(op, rule) if (s := self.storage_of(op, i))]
        scales += self._largest_weight_scale(op, rule)
        # Rounded up: with a float32 just below it the kernel's multiplier would be above its limit.
        least = float(np.nextafter(np.float32(least_output_scale(rule, dtype, scales)), np.float32(np.inf)))
        changed = False
        roots = {self.groups.find(ScaleNode(t, dtype)) for _, t in real_outputs(op, rule)}
        for root in roots - self.groups.fixed.keys():
            storage = self._storages[root]
            if storage.scale[0] < least:
                reason = f"{storage.reason}, coarser for the kernel of {op.kind}"
                self._storages[root] = replace(storage, scale=(least,), reason=reason)
                changed = True
        return changed

    def _largest_weight_scale(self, op: Op, rule: OpRule) -> list[float]:
        position = weight_of(op, rule)
        weights = None if position is None else op.inputs[position]
        if weights is None or weights.data is None:
            return []
        stored = self.groups.context.scheme.weights
        return [float(weight_scales(weights.data, None, stored if stored in LIMITS else "int8")[0])]

    # -- queries -------------------------------------------------------------------------------

    def storage_of(self, op: Op, position: int) -> Storage | None:
        """Return the storage of an integer op's input; None for an input that does not represent reals."""
        if (op, position) in self.groups.apart:
            return self._storages[self.groups.find(self.groups.apart[op, position][1])]
        tensor = op.input(position)
        if tensor is None or op not in self.groups.ops:
            return None
        return self._held(node_of(op, position, tensor, self.groups.ops[op][1]))

    def _held(self, node: ScaleNode) -> Storage | None:
        return self._storages[self.groups.find(node)] if node in self.groups.parent else None

    def storages(self) -> Iterable[tuple[Tensor, Storage]]:
        """Return the storage of every activation, once for each type that it is stored in."""
        return ((n.tensor, self._storages[self.groups.find(n)]) for n in self.groups.parent if n.use is None)

    def requantized(self) -> dict[tuple[Op, int], Storage]:
        """Return (op, input position) → storage, for the inputs that are requantized."""
        forms = {
            use: (self._held(node), self._held(anchor)) for use, (node, anchor) in self.groups.apart.items()
        }
        return {use: wanted for use, (held, wanted) in forms.items() if wanted and wanted != held}
