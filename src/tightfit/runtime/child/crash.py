"""Finds the op on which LiteRT dies, by running ever shorter beginnings of the graph.

A dead process leaves no word about the op it ran. But the beginning of a graph up to an op dies exactly when
one of its ops does, so a bisection over the ops finds the first that kills, in log2(ops) child processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tightfit.errors import ModelError, TightfitError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Signature
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.child.child_process import Child, take
from tightfit.runtime.child.memory import model_limit
from tightfit.types import Array

_PROBE_LIMIT_S = 20.0


def locate_crash(
    model: str | Path | bytes,
    sample: Mapping[str, Array] | None,
    *,
    signature: str | None = None,
    threads: int = 1,
    delegate: bool = True,
    limit_s: float = 30.0,
) -> str | None:
    """Return a sentence naming the op that kills LiteRT, or None when that is not found in time.

    Args:
        model: the model that died.
        sample: the inputs it died on, or None when it died at loading.
        signature: the signature that ran, or None for the default one.
        threads: as when it died.
        delegate: as when it died.
        limit_s: no new child is started after this time.
    """
    deadline = time.monotonic() + limit_s
    try:
        whole = read_model(model)
        arrays = None if sample is None else _ordered(whole, sample, signature)
        options = {"threads": threads, "delegate": delegate}
        count = first_failing(len(whole.main.ops), lambda n: _kills(whole, n, arrays, options), deadline)
    except TightfitError:
        return None  # a file that our reader refuses too, or a graph that a signature alone reaches
    if count is None:
        return None
    killer = whole.main.ops[count - 1]
    return f"It dies on the op {killer.kind} '{killer.name}'."


def first_failing(count: int, fails: Callable[[int], bool], deadline: float) -> int | None:
    """Return the length of the shortest beginning that fails, by bisection; None where none does, or in time.

    Args:
        count: of all ops.
        fails: whether the first so many ops fail.
        deadline: time at which the search gives up, by ``time.monotonic``.

    Example:
        >>> first_failing(9, lambda n: n >= 4, float("inf"))
        4
    """
    works, broken = 0, count
    if not fails(broken):
        return None
    while broken - works > 1:
        if time.monotonic() > deadline:
            return None
        middle = (works + broken) // 2
        works, broken = (works, middle) if fails(middle) else (middle, broken)
    return broken


def _kills(model: Model, count: int, arrays: list[Array] | None, options: dict[str, Any]) -> bool:
    """True when the first ``count`` ops kill the child; False when they run or are refused in words."""
    child = take()
    try:
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(serialize(_beginning(model, count)))
            file.flush()
            limit = model_limit(file.name, options["threads"])
            status, facts = _ask(child, "load", path=file.name, signature=None, memory_bytes=limit, **options)
        if status == "done" and arrays is not None:
            names = [spec["name"] for spec in facts["inputs"]]
            _ask(child, "time", inputs=dict(zip(names, arrays, strict=True)), runs=1, warmup=0)
    except child.faults as fault:
        return child.crashed(fault)
    finally:
        child.close()
    return False


def _ask(child: Child, verb: str, **arguments: Any) -> tuple[str, Any]:
    child.send((verb, arguments), _PROBE_LIMIT_S)
    status, value = child.receive(_PROBE_LIMIT_S)
    return status, value


def _beginning(model: Model, count: int) -> Model:
    """A copy of the model cut after ``count`` ops, with the last one's outputs as its outputs."""
    twin = copy_model(model)
    graph = twin.main
    for op in reversed(graph.ops[count:]):
        graph.remove(op)
    graph.outputs = list(graph.ops[-1].outputs)
    graph.drop_loose()
    twin.signatures = []
    return twin


def _ordered(model: Model, sample: Mapping[str, Array], signature: str | None) -> list[Array]:
    """The sample's arrays in the order of the main graph's inputs."""
    chosen = _signature(model, signature)
    if chosen is None:
        return list(sample.values())
    names = {tensor: name for name, tensor in chosen.inputs.items()}
    return [sample[names[tensor]] for tensor in model.main.inputs]


def _signature(model: Model, wanted: str | None) -> Signature | None:
    """The signature that a session runs: the wanted one, ``serving_default``, else the first.

    Raises:
        ModelError: it does not run the main graph, the only one that is searched.
    """
    keys = {signature.key: signature for signature in model.signatures}
    if not keys:
        return None
    chosen = keys[wanted or ("serving_default" if "serving_default" in keys else next(iter(keys)))]
    if chosen.graph_index != 0:
        raise ModelError(f"The signature '{chosen.key}' does not run the main graph.")
    return chosen
