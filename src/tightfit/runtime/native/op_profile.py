"""Where the time of a model goes, op by op, measured by LiteRT's own profiler in a child process."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.reader import read_model
from tightfit.runtime.child.child_process import Child
from tightfit.runtime.emulator import Emulator
from tightfit.runtime.input_samples import TensorSpec, random_sample
from tightfit.types import Array

Event = tuple[str, bool, int, int, int]

_LIMIT_S = 600.0


@dataclass(frozen=True)
class OpTime:
    """The time of one op.

    Args:
        name: of an op of the graph: its first output's; of an op inside XNNPACK: its kind.
        kind: the builtin operator's name, or what XNNPACK calls its op (``Fully Connected (NC, F32) GEMM``).
        node_index: the place among the graph's ops, or among the ops of the part that XNNPACK took.
        delegated: True for an op inside XNNPACK, which fuses and replaces ops of the graph.
        mean_ms: over the runs. The profiler counts whole microseconds, so a tiny op reads less than it takes.
    """

    name: str
    kind: str
    node_index: int
    delegated: bool
    mean_ms: float


def profile_ops(path: str | Path, *, threads: int = 1, runs: int = 20) -> list[OpTime]:
    """Return the mean time of each op in the order in which they run; inputs are random.

    XNNPACK shows its own ops, of which a graph's op may be several or none. An op that runs another graph
    (``WHILE``, ``IF``) counts that graph's time; XNNPACK's ops in there are listed too.

    Raises:
        ModelError: the file cannot be read.
        RuntimeFailureError: LiteRT cannot profile it, as when it computes the shape of an output as it runs.
    """
    model = read_model(path)
    signature, arrays = _sample(model)
    request = {"path": str(path), "signature": signature, "threads": threads, "runs": max(1, runs)}
    recorded = _profile(path, request | {"arrays": arrays})
    main = [[event for event in run if event[1] or event[3] == 0] for run in recorded]
    return _means(main, model)


def op_kinds(path: str | Path, on: Emulator | None = None) -> list[tuple[str, bool]]:
    """Return what runs, in order: the kind of each op, and whether it is inside of a delegate.

    Args:
        path: the file.
        on: the emulated core that runs it, whose times mean nothing; None for this computer.

    Raises:
        ModelError: the file cannot be read.
        RuntimeFailureError: LiteRT cannot profile it.
    """
    model = read_model(path)
    signature, arrays = _sample(model)
    request = {"path": str(Path(path).absolute()), "signature": signature, "threads": 1, "runs": 1}
    (run,) = _profile(path, request | {"arrays": arrays}, on)
    return [(event[0], event[1]) for event in run]


def _sample(model: Model) -> tuple[int, list[Array]]:
    """The signature of the main graph, and random inputs."""
    signature, tensors = _inputs(model)
    sample = random_sample([TensorSpec(f"{i}", t.shape, t.dtype, *_affine(t)) for i, t in enumerate(tensors)])
    return signature, list(sample.values())


def _inputs(model: Model) -> tuple[int, Sequence[Tensor]]:
    """The signature that runs the main graph and its inputs' tensors; a model without gets a default one."""
    for index, signature in enumerate(model.signatures):
        if signature.graph_index == 0:
            return index, list(signature.inputs.values())
    return 0, model.main.inputs


def _affine(tensor: Tensor) -> tuple[float | None, int | None]:
    if tensor.quantization is None or not tensor.is_quantized:
        return None, None
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])


def _profile(path: str | Path, request: dict[str, Any], on: Emulator | None = None) -> list[list[Event]]:
    child = Child("native.op_profile_worker", interpreter=None if on is None else on.interpreter())
    try:
        child.send(("profile", request), _LIMIT_S)
        status, value = child.receive(_LIMIT_S)
    except child.faults as fault:
        raise RuntimeFailureError(child.describe_exit(fault, f"profiling '{path}'")) from None
    finally:
        words = child.last_log_line()
        child.close()
    if status != "done":
        hint = f" It said: {words}" if words else ""
        raise RuntimeFailureError(f"LiteRT's profiler cannot run '{path}': {value}{hint}")
    recorded: list[list[Event]] = value
    return recorded


def _means(runs: Sequence[Sequence[Event]], model: Model) -> list[OpTime]:
    """One row an event: every run of a graph without branches makes the same events in the same order."""
    first = [event[:4] for event in runs[0]]
    alike = [run for run in runs if [event[:4] for event in run] == first]
    rows = []
    for place, (kind, delegated, node, _) in enumerate(first):
        mean_ms = statistics.fmean(run[place][4] for run in alike) / 1e3
        ops = model.main.ops
        name = ops[node].name if not delegated and node < len(ops) else kind
        rows.append(OpTime(name, kind, node, delegated, mean_ms))
    return rows
