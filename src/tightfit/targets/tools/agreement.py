"""How far an accelerator's answers are from the CPU's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Model, Tensor
from tightfit.graph.signatures import main_signature
from tightfit.provenance.probes import output_steps, seeded_inputs
from tightfit.provenance.record import read_record
from tightfit.runtime.input_samples import TensorSpec
from tightfit.targets.tools.tool_result import OutputAgreement
from tightfit.types import Array


def main_inputs(model: Model) -> tuple[int, list[Tensor], list[Tensor], list[str]]:
    """Return the index of the signature of the main graph, its inputs, its outputs and their names."""
    signature = main_signature(model)
    if signature is not None:
        outputs = signature.outputs
        place = model.signatures.index(signature)
        return place, list(signature.inputs.values()), list(outputs.values()), list(outputs)
    graph = model.main
    return 0, graph.inputs, graph.outputs, [t.name for t in graph.outputs]


def noise_inputs(model: Model, seed: int = 0) -> list[Array]:
    """Return seeded noise for each input, between the limits that the file carries where it does."""
    record = read_record(model)
    specs = [_spec(f"{i}", t) for i, t in enumerate(main_inputs(model)[1])]
    limits = {} if record is None else record.limits
    names = [] if not model.signatures else list(model.signatures[main_inputs(model)[0]].inputs)
    own = {f"{i}": limits[name] for i, name in enumerate(names) if name in limits}
    return list(seeded_inputs(specs, own, seed).values())


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    q = tensor.quantization
    if q is None or not tensor.is_quantized:
        return TensorSpec(name, tensor.shape, tensor.dtype)
    return TensorSpec(name, tensor.shape, tensor.dtype, float(q.scale[0]), int(q.zero_point[0]))


def agreement(
    model: Model, answers: Sequence[Array], references: Sequence[Sequence[Array]]
) -> tuple[OutputAgreement, ...]:
    """Return for each output how far the answers are from the nearest of the CPU's references.

    Args:
        model: the model that ran.
        answers: one array an output, of the accelerator.
        references: answers of LiteRT's builtin kernels and of XNNPACK, or of one of them.
    """
    if not references:
        return ()
    _, _, outputs, names = main_inputs(model)
    return tuple(
        compare(tensor, name, answer, [r[i] for r in references])
        for i, (tensor, name, answer) in enumerate(zip(outputs, names, answers, strict=True))
    )


def compare(tensor: Tensor, name: str, answer: Array, wanted: Sequence[Array]) -> OutputAgreement:
    """Return how far one answer is from the nearest of the CPU's.

    Args:
        tensor: whose values they are: an index or a truth value is equal or wrong, a quantized integer, or a
            real that stands for one, may be a step apart.
        name: for people.
        answer: the accelerator's.
        wanted: the CPU's, one or more.
    """
    near = min(wanted, key=lambda w: -_finite(snr_db(answer, w)))
    usual = snr_db(wanted[0], wanted[-1]) if len(wanted) > 1 else None
    counts = answer.dtype.kind in "iub" and not tensor.is_quantized
    return OutputAgreement(name, snr_db(answer, near), _steps(tensor, answer, near), usual, counts)


def snr_db(answer: Array, wanted: Array) -> float | None:
    """Return the signal-to-noise ratio of an answer, None when it is equal (NaN equals NaN)."""
    if answer.shape != wanted.shape:
        return -np.inf
    if np.array_equal(answer, wanted, equal_nan=answer.dtype.kind == "f"):
        return None
    a, w = answer.astype(np.float64), wanted.astype(np.float64)
    known = np.isfinite(w)
    if not np.array_equal(known, np.isfinite(a)):
        return -np.inf
    noise = float(np.square(a[known] - w[known]).sum())
    signal = float(np.square(w[known]).sum())
    return None if noise == 0 else float(10 * np.log10(max(signal, 1e-300) / noise))


def _finite(value: float | None) -> float:
    return np.inf if value is None else value


def _steps(tensor: Tensor, answer: Array, wanted: Array) -> float | None:
    """The largest difference of quantized integers, or of the reals of a DEQUANTIZE, in steps."""
    if answer.shape != wanted.shape:
        return None
    step = output_steps({"": tensor}).get("")
    if step is not None:
        gap = np.abs(answer.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
        return float(np.rint(gap / step)) if np.isfinite(gap) else None
    if answer.dtype.kind not in "iu" or not tensor.is_quantized:
        return None
    return float(np.abs(answer.astype(np.int64) - wanted.astype(np.int64)).max(initial=0))
