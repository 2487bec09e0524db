"""The model representation (IR): four classes linked by references.

``Model`` holds graphs, signatures and metadata; ``Graph`` an ordered list of ``Op``; an ``Op`` reads
and writes ``Tensor``; a ``Tensor`` knows its producer and its consumers. Edits use the methods of
``Graph`` (``insert``, ``remove``, ``replace_uses``, ``set_input`` …), which keep both directions consistent.
This module is independent of the file format (see ``reader`` and ``writer``) and of the runtime.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tightfit.errors import ModelError
from tightfit.graph.tensors import Op, Quantization, Sparsity, Tensor

__all__ = ["Graph", "Model", "Op", "Quantization", "Signature", "Sparsity", "Tensor"]


class Graph:
    """An ordered list of ops with inputs and outputs.

    Attributes:
        name: as in the file.
        inputs: input tensors.
        outputs: output tensors.
        ops: ops in execution order.
        loose: tensors of the file that no op, input or output refers to (kept for a faithful copy).
    """

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.ops: list[Op] = []
        self.loose: list[Tensor] = []
        self.extra: dict[str, Any] = {}

    # -- queries -------------------------------------------------------------------------------

    def tensors(self) -> list[Tensor]:
        """Return every tensor once, in the order of their creation (the file's order after reading)."""
        seen: dict[int, Tensor] = {}
        for tensor in self._references():
            seen[tensor.serial] = tensor
            for part in tensor.parts():
                seen[part.serial] = part
        return [seen[k] for k in sorted(seen)]

    def _references(self) -> Iterator[Tensor]:
        yield from self.inputs
        yield from self.outputs
        yield from self.loose
        for op in self.ops:
            yield from (t for t in op.inputs if t is not None)
            yield from op.outputs
            yield from op.intermediates

    def keys(self) -> dict[Tensor, str]:
        """Return a unique key for each tensor: its name, or ``name#2`` for the second of that name."""
        counts: dict[str, int] = {}
        keys: dict[Tensor, str] = {}
        for tensor in self.tensors():
            n = counts[tensor.name] = counts.get(tensor.name, 0) + 1
            keys[tensor] = tensor.name if n == 1 else f"{tensor.name}#{n}"
        return keys

    def find(self, name: str) -> Tensor:
        """Return the first tensor with a name.

        Raises:
            ModelError: no tensor has the name.
        """
        for tensor in self.tensors():
            if tensor.name == name:
                return tensor
        raise ModelError(f"The graph '{self.name}' has no tensor named '{name}'.")

    # -- editing -------------------------------------------------------------------------------

    def append(self, op: Op) -> Op:
        """Add an op at the end and link its tensors."""
        return self.insert(len(self.ops), op)

    def insert(self, position: int, op: Op) -> Op:
        """Add an op before ``ops[position]`` and link its tensors."""
        for tensor in op.outputs:
            if tensor.producer is not None:
                raise ModelError(f"Tensor '{tensor.name}' already has a producer {tensor.producer!r}.")
        self.ops.insert(position, op)
        op.graph = self
        for tensor in op.outputs:
            tensor.producer = op
        for i, source in enumerate(op.inputs):
            if source is not None:
                source.consumers.append((op, i))
        return op

    def move_in(self, anchor: Op, part: Graph) -> None:
        """Move all ops of another graph to just before ``anchor``; their tensors keep their links."""
        position = self.ops.index(anchor)
        self.ops[position:position], part.ops = part.ops, []
        for op in self.ops[position : self.ops.index(anchor, position)]:
            op.graph = self

    def insert_before(self, anchor: Op, op: Op) -> Op:
        """Add an op just before ``anchor``."""
        return self.insert(self.ops.index(anchor), op)

    def insert_after(self, anchor: Op, op: Op) -> Op:
        """Add an op just after ``anchor``."""
        return self.insert(self.ops.index(anchor) + 1, op)

    def remove(self, op: Op) -> None:
        """Remove an op and unlink its tensors; the tensors remain usable."""
        self.ops.remove(op)
        op.graph = None
        for tensor in op.outputs:
            tensor.producer = None
        for i, source in enumerate(op.inputs):
            if source is not None:
                source.consumers.remove((op, i))

    def set_input(self, op: Op, position: int, tensor: Tensor | None) -> None:
        """Make ``op`` read ``tensor`` at ``position`` (None: an absent optional input)."""
        while len(op.inputs) <= position:
            op.inputs.append(None)
        old = op.inputs[position]
        if old is not None:
            old.consumers.remove((op, position))
        op.inputs[position] = tensor
        if tensor is not None:
            tensor.consumers.append((op, position))

    def set_output(self, op: Op, position: int, tensor: Tensor) -> None:
        """Make ``op`` write ``tensor`` at ``position``; the old tensor is left without a producer."""
        if tensor.producer is not None:
            raise ModelError(f"Tensor '{tensor.name}' already has a producer {tensor.producer!r}.")
        op.outputs[position].producer = None
        op.outputs[position] = tensor
        tensor.producer = op

    def replace_uses(self, old: Tensor, new: Tensor, *, outputs: bool = True) -> None:
        """Replace ``old`` by ``new`` in all readers.

        Args:
            old: the tensor to replace.
            new: the tensor to read instead.
            outputs: replace it among the graph's outputs too.
        """
        for op, position in list(old.consumers):
            self.set_input(op, position, new)
        if outputs:
            self.outputs = [new if t is old else t for t in self.outputs]

    def drop_loose(self) -> None:
        """Remove the tensors that no op, input or output refers to."""
        self.loose = []

    # -- checking ------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check that links agree in both directions and that ops are in execution order.

        Raises:
            ModelError: a rule is broken; the message names the op or tensor.
        """
        members = {id(op) for op in self.ops}
        links = set()
        for tensor in self.tensors():
            for reader, position in tensor.consumers:
                if id(reader) not in members or reader.input(position) is not tensor:
                    raise ModelError(
                        f"'{tensor.name}' lists {reader!r} as a consumer, which does not read it."
                    )
                links.add((id(reader), position, tensor.serial))
        known = {t.serial for t in self.inputs}
        for op in self.ops:
            _check_reads(op, known, members, links)
            for tensor in op.outputs:
                if tensor.producer is not op:
                    raise ModelError(f"{op!r} writes '{tensor.name}', whose producer is {tensor.producer!r}.")
                known.add(tensor.serial)
        for tensor in self.outputs:
            if tensor.serial not in known and not tensor.is_constant and not tensor.is_variable:
                raise ModelError(f"Output '{tensor.name}' of graph '{self.name}' is never written.")


def _check_reads(op: Op, known: set[int], members: set[int], links: set[tuple[int, int, int]]) -> None:
    """Check that every input is a constant, a variable or written before, and lists this op as consumer."""
    for i, tensor in enumerate(op.inputs):
        if tensor is None:
            continue
        if (id(op), i, tensor.serial) not in links:
            raise ModelError(f"{op!r} reads '{tensor.name}', which does not list it as a consumer.")
        if tensor.producer is not None and id(tensor.producer) not in members:
            raise ModelError(f"{op!r} reads '{tensor.name}' of an op that is not in the graph.")
        if tensor.producer is not None and tensor.serial not in known:
            raise ModelError(f"{op!r} reads '{tensor.name}' before it is written.")


@dataclass
class Signature:
    """A named entry point: names of inputs and outputs → tensors of a graph."""

    key: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    graph_index: int = 0


@dataclass
class Model:
    """A whole file: graphs (the first is the main one), signatures, metadata.

    Attributes:
        metadata: name → bytes, in the file's order.
        attached: files packed behind the model (labels, vocabularies), name → bytes.
    """

    graphs: list[Graph]
    signatures: list[Signature] = field(default_factory=list)
    metadata: dict[str, bytes] = field(default_factory=dict)
    description: str | None = None
    version: int = 3
    extra: dict[str, Any] = field(default_factory=dict)
    attached: dict[str, bytes] = field(default_factory=dict)

    @property
    def main(self) -> Graph:
        """The graph that a plain call runs."""
        return self.graphs[0]

    def validate(self) -> None:
        """Check every graph and that signatures name tensors of their graph.

        Raises:
            ModelError: a rule is broken; the message names the op, tensor or signature.
        """
        for graph in self.graphs:
            graph.validate()
        members = [set(graph.tensors()) for graph in self.graphs] if self.signatures else []
        for signature in self.signatures:
            for name, tensor in itertools.chain(signature.inputs.items(), signature.outputs.items()):
                if tensor not in members[signature.graph_index]:
                    raise ModelError(f"Signature '{signature.key}' maps '{name}' to a foreign tensor.")
