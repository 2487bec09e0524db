"""How many steps each integer op of a file is away from the formula of its float op, on the inputs it had.

For each op with an integer result, the reals of its own integer inputs go through the float op with the
source's constants; the result in steps of the output's scale is compared with what the integer op wrote. A
value within 0.002 of a half counts for either neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import tap
from tightfit.graph.writer import serialize
from tightfit.quantization.arithmetic import LIMITS
from tightfit.runtime.session import Session

Array = np.ndarray[Any, Any]
HALF = 0.5 + 2e-3
SUFFIXES = ("", "_int8", "_int16")


@dataclass
class Steps:
    """What one op kind did.

    Args:
        most: largest number of steps. off: values at least one step away. values: all of them.
    """

    most: int = 0
    off: int = 0
    values: int = 0
    ops: list[str] = field(default_factory=list)


def integer_ops(model: Model, floats: Model) -> list[tuple[Op, Op]]:
    """Gives the ops with an integer result, each with its float op."""
    named = {t.name: op for op in floats.main.ops for t in op.outputs}
    pairs = []
    for op in model.main.ops:
        result = op.outputs[0]
        if op.kind in ("QUANTIZE", "DEQUANTIZE") or not result.is_quantized:
            continue
        plain = result.name
        names = [plain, *(plain.removesuffix(s) for s in SUFFIXES[1:] if plain.endswith(s))]
        twin = next((named[n] for n in names if n in named), None)
        if twin is not None and twin.kind == op.kind:
            pairs.append((op, twin))
    return pairs


def scales_of(tensor: Tensor) -> Quantization:
    """The scales of a quantized tensor."""
    if tensor.quantization is None:
        raise ValueError(tensor.name)
    return tensor.quantization


def reals(values: Array, tensor: Tensor) -> Array:
    """The reals of an activation's integers."""
    q = scales_of(tensor)
    return np.asarray((values.astype(np.float64) - q.zero_point[0]) * q.scale[0], np.float32)


def judge(pairs: list[tuple[Op, Op]]) -> tuple[Model, dict[str, Tensor]]:
    """A model in which every float op stands alone; the names of its inputs are those of the integers."""
    graph, fed, given = Graph("judge"), {}, {}
    outputs = {}
    for number, (op, twin) in enumerate(pairs):
        inputs: list[Tensor | None] = []
        for position, tensor in enumerate(twin.inputs):
            if tensor is None or tensor.is_constant:
                inputs.append(
                    None if tensor is None else Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.data)
                )
                continue
            source = op.operand(position)
            place = f"i{number}_{position}"
            own = Tensor(place, source.shape, "float32" if source.is_quantized else source.dtype)
            fed[place], given[place] = source, own
            graph.inputs.append(own)
            inputs.append(own)
        results = [Tensor(f"o{number}_{i}", t.shape, t.dtype) for i, t in enumerate(twin.outputs)]
        graph.append(Op(twin.kind, inputs, results, dict(twin.options), twin.options_type))
        graph.outputs.append(results[0])
        outputs[f"o{number}"] = results[0]
    model = Model([graph], [Signature("serving_default", given, outputs)])
    return model, fed


def measure(
    path: Path, floats: Model, samples: list[Mapping[str, Array]], *, delegate: bool = True
) -> dict[str, Steps]:
    """Gives op kind → steps, over the samples."""
    model = read_model(path)
    pairs = integer_ops(model, floats)
    alone, fed = judge(pairs)
    watched = copy_model(model)
    keys = dict(zip(model.main.tensors(), watched.main.tensors(), strict=True))
    wanted = {t.name + f"#{t.serial}": keys[t] for t in [*fed.values(), *(op.outputs[0] for op, _ in pairs)]}
    names = {t: t.name + f"#{t.serial}" for t in [*fed.values(), *(op.outputs[0] for op, _ in pairs)]}
    inputs = {n: t for n, t in wanted.items() if t in watched.main.inputs}
    tap(watched, {n: t for n, t in wanted.items() if n not in inputs})
    found: dict[str, Steps] = {}
    with Session(serialize(watched), delegate=delegate) as session, Session(serialize(alone)) as formula:
        for sample in samples:
            seen = session.run(dict(sample))
            feeds = {p: seen[names[t]] for p, t in fed.items()}
            feeds = {p: reals(v, fed[p]) if fed[p].is_quantized else v for p, v in feeds.items()}
            exact = formula.run(feeds)
            for number, (op, _) in enumerate(pairs):
                _count(
                    found.setdefault(op.kind, Steps()), op, seen[names[op.outputs[0]]], exact[f"o{number}"]
                )
    return found


def _count(steps: Steps, op: Op, stored: Array, exact: Array) -> None:
    quantization = scales_of(op.outputs[0])
    low, high = LIMITS[op.outputs[0].dtype]
    wanted = np.clip(exact.astype(np.float64) / quantization.scale[0] + quantization.zero_point[0], low, high)
    apart = np.abs(wanted - stored.astype(np.float64)) - HALF
    off = np.ceil(np.maximum(apart, 0)).astype(int)
    if off.any():
        steps.ops.append(op.name)
    steps.most = max(steps.most, int(off.max(initial=0)))
    steps.off += int((off > 0).sum())
    steps.values += off.size
