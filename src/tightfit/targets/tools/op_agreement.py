"""Which ops make an accelerator's answers differ from the CPU's: each op with the inputs that it has there.

Integer kernels round at different places, and a network adds such steps up: outputs that are many steps apart
do not show whether an op is wrong. Here every tensor of the model is an output on the accelerator; then each
op alone gets those inputs on the CPU's kernels, so no difference is carried from one op to the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.errors import RuntimeFailureError
from tightfit.graph.copying import copy_model, copy_op
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.signatures import tap
from tightfit.graph.writer import serialize
from tightfit.provenance.probes import output_steps
from tightfit.runtime.native.accelerator import AcceleratorProcess
from tightfit.targets.partition import is_unpacking
from tightfit.targets.tools.agreement import compare, main_inputs, snr_db
from tightfit.targets.tools.tool_result import EXACT_DB, OpAgreement, OutputAgreement, Place
from tightfit.types import Array
from tightfit.units import format_decibels, format_percent

PLAIN: Final = {"xnnpack": 'kernel_mode = "builtin"\n'}
"""Options of LiteRT's CPU: its own kernels, without XNNPACK."""
_NAMED: Final = 3
_READ: Final = frozenset({"float32", "int8", "uint8", "int16", "int32", "int64", "bool"})


def op_agreement(
    process: AcceleratorProcess,
    folder: Path,
    model: Model,
    sample: tuple[Sequence[Array], Sequence[Array]],
    places: Iterable[Place],
) -> tuple[OpAgreement, ...]:
    """Return how far each op on the accelerator is from the CPU's kernels on the accelerator's own inputs.

    Args:
        process: a process that finds the accelerator.
        folder: for files; they stay until it is removed.
        model: the model.
        sample: the inputs, and the outputs that the accelerator gave for them, in the model's order.
        places: the ops on the accelerator.

    Returns:
        the ops whose tensors can be read, in the model's order; empty where the accelerator does not take
        the model with inner tensors as outputs, or gives other outputs then although every op is right.
    """
    ops = {i: model.main.ops[i] for g, i in sorted(places) if g == 0 and _is_comparable(model.main.ops[i])}
    tensors = [t for op in ops.values() for t in (*op.inputs, *op.outputs) if t is not None]
    inner = [t for t in dict.fromkeys(tensors) if t.producer is not None and not is_unpacking(t.producer)]
    _, inputs, outputs, _ = main_inputs(model)
    inner = list(dict.fromkeys([*inner, *(t for t in outputs if t.producer is not None)]))
    values = dict(zip(inputs, sample[0], strict=True))
    try:
        answers = _tapped(process, folder / "taps.tflite", model, inner, sample[0])
        values |= dict(zip(inner, answers, strict=True))
        same = all(_same(values[t], o) for t, o in zip(outputs, sample[1], strict=True) if t in values)
        alone = _alone(process, folder / "apart.tflite", list(ops.values()), values)
    except RuntimeFailureError:
        return ()
    found = []
    for i, op in ops.items():
        rows = [_compared(t, values[t], [a[t] for a in alone]) for t in op.outputs if t in values]
        if rows:
            worst, share = max(rows, key=lambda row: (not row[0].right, row[0].steps or 0.0, row[1]))
            found.append(OpAgreement((0, i), op.kind, worst, share))
    return tuple(found) if same or not all(op.right for op in found) else ()


def op_sentences(outputs: Sequence[OutputAgreement], ops: Sequence[OpAgreement]) -> list[str]:
    """Return in words how far outputs are from the CPU's, and which ops differ how often.

    Args:
        outputs: of the model.
        ops: of ``op_agreement``.
    """
    found = []
    for output in (o for o in outputs if not o.exact):
        steps = "" if output.steps is None else f"{output.steps:g} steps, "
        level = "other values" if output.snr_db is None else format_decibels(output.snr_db)
        found.append(f"Output '{output.name}' is {steps}{level} from the CPU's.")
    if ops and all(op.right for op in ops):
        kinds: dict[str, float] = {}
        for op in (o for o in ops if o.output.steps or not o.output.exact):
            kinds[op.kind] = max(kinds.get(op.kind, 0.0), op.share)
        often = sorted(kinds.items(), key=lambda row: -row[1])[:_NAMED]
        kinds_of = ", ".join(f"{kind} in up to {format_percent(share, 2)}" for kind, share in often)
        listed = f" (values that differ: {kinds_of})" if often else ""
        found.append(
            "Every op is right: with the inputs that it has there, its output differs from the CPU's kernels "
            f"by rounding alone{listed}, and the network adds that up."
        )
    return found


def _same(one: Array, other: Array) -> bool:
    """True when two runs of one kernel gave an output; sums of reals may have another order."""
    snr = snr_db(one, other)
    return snr is None or (one.dtype.kind == "f" and snr >= EXACT_DB)


def _is_comparable(op: Op) -> bool:
    """True for an op that computes and whose tensors can be read."""
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None and not t.is_constant]
    return not is_unpacking(op) and all(t.dtype in _READ and t.size for t in tensors)


def _tapped(
    process: AcceleratorProcess, path: Path, model: Model, inner: Sequence[Tensor], arrays: Sequence[Array]
) -> list[Array]:
    """The accelerator's values of inner tensors."""
    keys, twin = model.main.keys(), copy_model(model)
    twins = {key: tensor for tensor, key in twin.main.keys().items()}
    tap(twin, {f"t{i}": twins[keys[t]] for i, t in enumerate(inner)})
    path.write_bytes(serialize(twin))
    process.compile(path, ("gpu", "cpu"))
    return process.run(arrays)


def _alone(
    process: AcceleratorProcess, path: Path, ops: Sequence[Op], values: Mapping[Tensor, Array]
) -> list[dict[Tensor, Array]]:
    """The answers of LiteRT's builtin kernels and of XNNPACK for each op by itself."""
    model, fed, made = _apart(ops, values)
    path.write_bytes(serialize(model))
    found = []
    for options in (PLAIN, {}):
        with contextlib.suppress(RuntimeFailureError):
            process.compile(path, ("cpu",), options=options)
            found.append(dict(zip(made, process.run([values[t] for t in fed]), strict=True)))
    if not found:
        raise RuntimeFailureError("LiteRT's CPU does not run the ops by themselves.")
    return found


def _apart(ops: Sequence[Op], values: Mapping[Tensor, Array]) -> tuple[Model, list[Tensor], list[Tensor]]:
    """A model in which no op reads what another computes, and the tensors that it takes and gives."""
    graph, read, made = Graph("apart"), dict[Tensor, Tensor](), dict[Tensor, Tensor]()
    for op in ops:
        for tensor in op.inputs:
            if tensor is not None and tensor not in read:
                read[tensor] = _twin(tensor)
                source = tensor.producer
                if tensor not in values and source is not None:  # unpacked from float16
                    packed = {t: _twin(t) for t in source.inputs if t is not None}
                    graph.append(copy_op(source, packed | {tensor: read[tensor]}))
        made |= {t: _twin(t) for t in op.outputs}
        graph.append(copy_op(op, read | {t: made[t] for t in op.outputs}))
    fed = [t for t in read if t in values]
    given = [t for t in made if t in values]
    graph.inputs, graph.outputs = [read[t] for t in fed], [made[t] for t in given]
    named = (
        {f"i{i}": t for i, t in enumerate(graph.inputs)},
        {f"o{i}": t for i, t in enumerate(graph.outputs)},
    )
    return Model([graph], [Signature("apart", *named)]), fed, given


def _twin(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.data, tensor.quantization)


def _compared(tensor: Tensor, answer: Array, wanted: Sequence[Array]) -> tuple[OutputAgreement, float]:
    """How far an op's output is from the nearest of the CPU's kernels, and the fraction that differs."""
    found = compare(tensor, tensor.name, answer, wanted)
    half = output_steps({"": tensor}).get("", 0.0) / 2  # reals of a DEQUANTIZE differ in the last bits too
    apart = [np.abs(answer.astype(np.float64) - w.astype(np.float64)) > half for w in wanted]
    return found, min(float(a.mean()) if a.size else 0.0 for a in apart)
