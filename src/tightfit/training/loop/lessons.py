"""``Lesson``: which tensors of a student and of a teacher are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tightfit.errors import OptionError
from tightfit.graph.ir import Op, Tensor
from tightfit.training.network import Network

RESIDUAL: Final = "residual"
"""Feature name for the outputs of all residual blocks."""


class Lesson:
    """The tensors of a student and of one teacher that are compared.

    Args:
        student: the network that is trained.
        teacher: the network that is followed.
        features: see ``Distillation``.
        outputs: the student's output → the teacher's; None by name, else by place.

    Attributes:
        wanted: tensors of the student, and those of the teacher, first the outputs before their softmax.
        decides: for each output whether it ends in a softmax.
        outputs: the student's output → the teacher's tensor.

    Raises:
        OptionError: a feature is in neither graph, or the outputs differ.
    """

    def __init__(
        self,
        student: Network,
        teacher: Network,
        features: Sequence[str] = (),
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        self.teacher = teacher
        self.outputs = matching_outputs(student, teacher, outputs or {})
        own = student.output_tensors
        self.decides = [before_softmax(t) is not t for t in own.values()]
        compared = [(before_softmax(t), before_softmax(self.outputs[n])) for n, t in own.items()]
        compared += feature_pairs(student, teacher, features)
        self.wanted = [a for a, _ in compared], [b for _, b in compared]


def residual_sums(network: Network) -> list[str]:
    """Return the keys of the sums of two activations, which are the outputs of residual blocks."""
    graph = network.source.main
    keys = graph.keys()
    varying = network.program.varying
    return [
        keys[op.outputs[0]]
        for op in graph.ops
        if op.kind == "ADD" and all(t in varying for t in op.inputs) and op.outputs[0] not in graph.outputs
    ]


def before_softmax(end: Tensor) -> Tensor:
    """Return the input of a final SOFTMAX; other outputs unchanged."""
    producer: Op | None = end.producer
    source = None if producer is None or producer.kind != "SOFTMAX" else producer.inputs[0]
    return end if source is None or source.is_constant else source


def _tensors(network: Network) -> dict[str, Tensor]:
    return {key: t for t, key in network.source.main.keys().items() if t.producer is not None}


def feature_pairs(student: Network, teacher: Network, features: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """Return the tensors of features: by the same key, by ``ours=theirs``, else by shape and order.

    A pruned student has only some features with all channels; the others are left out.

    Raises:
        OptionError: the student computes no such tensor, or the teacher none that is named.
    """
    ours, theirs, found = _tensors(student), _tensors(teacher), list[tuple[Tensor, Tensor]]()
    names = [n for name in features for n in (residual_sums(student) if name == RESIDUAL else [name])]
    for name in names:
        own, _, named = name.partition("=")
        if own not in ours or (named and named not in theirs):
            raise OptionError(
                f"The graph computes no tensor '{own if own not in ours else named}'. "
                "Take a name that 'tightfit inspect' prints."
            )
        tensor = ours[own]
        twin = theirs[named] if named else theirs.get(own) or _alike(tensor, ours, theirs)
        if twin is not None and twin.shape == tensor.shape:
            found.append((tensor, twin))
    return found


def _alike(tensor: Tensor, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor of another graph with the same shape, at the same place among those of its shape."""
    own, other = ([t for t in each.values() if t.shape == tensor.shape] for each in (ours, theirs))
    if not other:
        return None
    place = own.index(tensor) / max(len(own) - 1, 1)
    return other[round(place * (len(other) - 1))]


def matching_outputs(student: Network, teacher: Network, named: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the student's output → the teacher's: as named, else by name where all agree, else by place.

    Raises:
        OptionError: a name is unknown, or the numbers or the shapes of the outputs differ.
    """
    ours, theirs = student.output_tensors, teacher.output_tensors
    for word, known in (*((n, ours) for n in named), *((n, theirs) for n in named.values())):
        if word not in known:
            raise OptionError(f"There is no output '{word}'; there are {', '.join(known)}.")
    if named:
        found = [theirs[named[n]] if n in named else theirs.get(n) for n in ours]
    else:
        found = [theirs[n] for n in ours] if set(ours) <= set(theirs) else list(theirs.values())
    shapes = [tuple(t.shape) for t in ours.values()], [tuple(t.shape) for t in found if t is not None]
    if shapes[0] != shapes[1]:
        raise OptionError(
            f"The teacher has outputs of the shapes {_listed(shapes[1])}, the model {_listed(shapes[0])}; "
            "give a teacher with the same outputs, or name them: teacher_outputs={'ours': 'theirs'}."
        )
    return {n: t for n, t in zip(ours, found, strict=True) if t is not None}


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes) or "none"
