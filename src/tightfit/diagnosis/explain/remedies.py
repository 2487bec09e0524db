"""What could bring an op's accuracy back: one row of ``REMEDIES`` each, from the damaged op to its trials.

A gain is measured, not assumed: ``remedy_trials`` writes every trial and runs it in LiteRT.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.ops.macs import weight_tensors
from tightfit.quantization.ops.rule_lookup import only_moves
from tightfit.quantization.scheme import Scheme
from tightfit.units import format_count

Pairs = tuple[tuple[str, str], ...]

_ACTIVATIONS: Final = frozenset({"RELU", "RELU6", "PRELU", "LEAKY_RELU"})


@dataclass(frozen=True)
class Trial:
    """A remedy for one op or for all.

    Args:
        kind: a key of ``REMEDIES``.
        title: what is done, in words.
        op: for which op, "" for the whole model.
        overrides: op name → scheme, before those that the file already has.
        observer: another observer for all ranges.
        recovery: names of ``recovery.steps.RECOVERIES``.
    """

    kind: str
    title: str
    op: str = ""
    overrides: Pairs = ()
    observer: str | None = None
    recovery: tuple[str, ...] = ()

    def options(self) -> str:
        """The options of ``tightfit quantize`` that apply it; "" where that command has none for it."""
        words = [f"--override {shlex.quote(f'{name}={scheme}')}" for name, scheme in self.overrides]
        words += [f"--observer {self.observer}"] if self.observer else []
        words += [f"--recover {','.join(self.recovery)}"] if self.recovery else []
        return " ".join(words)


@dataclass(frozen=True)
class Damage:
    """An op that loses accuracy, and who reads its result.

    Args:
        name: of the op, or of the model's input.
        op: None for an input.
        readers: names of the ops that compute with its result, data movement in between included.
    """

    name: str
    op: Op | None
    readers: tuple[str, ...] = ()


def damage(name: str, target: Op | Tensor) -> Damage:
    """The damage of an op or an input, with its readers."""
    op = target if isinstance(target, Op) else None
    value = target if isinstance(target, Tensor) else target.outputs[0]
    return Damage(name, op, tuple(dict.fromkeys(r.name for r in _readers(value))))


def _readers(value: Tensor) -> list[Op]:
    found = []
    for reader, _ in value.consumers:
        found.append(reader)
        if only_moves(reader):
            found += [r for t in reader.outputs for r in _readers(t)]
    return found


# -- the table -------------------------------------------------------------------------------------


def wider(found: Damage, scheme: Scheme) -> list[Trial]:
    """int16 activations for the op and for those that read its result, which would round it again."""
    if scheme.activations != "int8":
        return []
    return [_group(found, "wider", "int16x8", "int16 activations for")]


def floating(found: Damage, scheme: Scheme) -> list[Trial]:  # noqa: ARG001 - the signature of the table
    """Float for the op and for those that read its result; and for the op alone."""
    both = [_group(found, "float", "float", "float for")]
    if found.op is None or not found.readers:
        return both
    return [*both, Trial("float", f"float for {found.name} alone", found.name, ((found.name, "float"),))]


def observer(found: Damage, scheme: Scheme) -> list[Trial]:  # noqa: ARG001 - the signature of the table
    """Ranges that cut rare extremes off."""
    if scheme.activations is None:
        return []
    names = ("mse", "percentile")
    return [Trial("observer", f"activation ranges by {name}", observer=name) for name in names]


def rounding(found: Damage, scheme: Scheme) -> list[Trial]:  # noqa: ARG001 - the signature of the table
    """Weights rounded with what the layers see; in 8 bits beside float data there is little to round."""
    if scheme.weights != "int4" and (scheme.activations is None or scheme.weights != "int8"):
        return []
    return [Trial("rounding", "weights rounded with data", recovery=("gptq",))]


def bias(found: Damage, scheme: Scheme) -> list[Trial]:
    """Biases that take up the mean error of their layer's weights."""
    if scheme.weights not in ("int8", "int4") or found.op is None or not weight_tensors(found.op):
        return []
    return [Trial("bias", "biases corrected for the weights' mean error", recovery=("bias-correction",))]


def finer(found: Damage, scheme: Scheme) -> list[Trial]:
    """8-bit weights for an op that a 4-bit scheme gives 4-bit ones."""
    weights = [] if found.op is None else weight_tensors(found.op)
    if scheme.weights != "int4" or all(w.size < scheme.least_narrow for w in weights):
        return []
    wide = "dynamic" if scheme.activations is None else "int8"
    return [Trial("finer", f"8-bit weights for {found.name}", found.name, ((found.name, wide),))]


def equalization(found: Damage, scheme: Scheme) -> list[Trial]:
    """Channels with equal reach between layers, where a layer of channels is damaged."""
    layers = {"CONV_2D", "DEPTHWISE_CONV_2D", *_ACTIVATIONS}
    if scheme.activations is None or found.op is None or found.op.kind not in layers:
        return []
    return [
        Trial("equalization", "channels equalized between layers", recovery=("cross-layer-equalization",))
    ]


def attention(found: Damage, scheme: Scheme) -> list[Trial]:
    """Smaller masks and smoothed normalizations, in a model that attends."""
    graph = None if found.op is None else found.op.graph
    if scheme.activations is None or graph is None or all(op.kind != "SOFTMAX" for op in graph.ops):
        return []
    if all(op.kind != "BATCH_MATMUL" for op in graph.ops):
        return []
    steps = ("attention-mask-clipping", "smoothing")
    return [Trial("attention", "masks made smaller and normalizations smoothed", recovery=steps)]


def slices(found: Damage, scheme: Scheme) -> list[Trial]:  # noqa: ARG001 - the signature of the table
    """Outputs, joins and inputs whose entries have different units, brought to one size or left in float."""
    if scheme.activations is None:
        return []
    return [Trial("slices", "entries of different units brought to one size", recovery=("slices",))]


REMEDIES: Final[dict[str, Callable[[Damage, Scheme], list[Trial]]]] = {
    "observer": observer,
    "bias": bias,
    "rounding": rounding,
    "equalization": equalization,
    "attention": attention,
    "slices": slices,
    "finer": finer,
    "wider": wider,
    "float": floating,
}
"""Kind → trials for a damaged op, the cheap ones first; those for the whole model are tried once."""


def _group(found: Damage, kind: str, scheme: str, words: str) -> Trial:
    names = ([] if found.op is None else [found.name]) + list(found.readers)
    others = len(found.readers)
    title = f"{words} {found.name}"
    if found.op is None:
        title = f"{words} the {format_count(others, 'op')} that read the input {found.name}"
    elif others:
        title += f" and the {'op that reads' if others == 1 else f'{others} ops that read'} its result"
    return Trial(kind, title, found.name, tuple((name, scheme) for name in dict.fromkeys(names)))


def trials(damages: Sequence[Damage], scheme: Scheme) -> list[Trial]:
    """Every trial for some damaged ops, equal ones once."""
    made = [t for row in REMEDIES.values() for found in damages for t in row(found, scheme)]
    unique: dict[tuple[Pairs, str | None, tuple[str, ...]], Trial] = {}
    for trial in made:
        unique.setdefault((trial.overrides, trial.observer, trial.recovery), trial)
    return list(unique.values())
