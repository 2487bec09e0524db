"""LiteRT's GPU accelerator (ML Drift on WebGPU) as the judge of the target ``gpu``.

It runs wherever a Vulkan driver is found, SwiftShader included, and says in its log which ops it refuses and
how many it takes. Its answers are compared with LiteRT's CPU kernels.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.copying import copy_part
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.native.accelerator import AcceleratorProcess
from tightfit.runtime.native.c_api import RUNTIME_FOLDER, package_folder
from tightfit.scratch import scratch_folder
from tightfit.targets.partition import is_unpacking, one_piece
from tightfit.targets.profile import Target
from tightfit.targets.tools.agreement import agreement, noise_inputs
from tightfit.targets.tools.op_agreement import PLAIN, op_agreement, op_sentences
from tightfit.targets.tools.tool_result import Place, ToolResult
from tightfit.targets.tools.vulkan import MISSING, find_driver
from tightfit.types import Array

TOOL: Final = "LiteRT GPU accelerator"
_ADAPTER: Final = re.compile(r"Selected adapter: ([^,\n]+)")
_COUNT: Final = re.compile(r"(\d+) operations will run on the GPU")
_HEAD: Final = "Following operations are not supported by GPU delegate:"
_RUNTIME_SIZES: Final = "only supports static-sized tensors"
_VARIABLES: Final = "Variable tensors not yet supported"


def available() -> str:
    """Return "" when the accelerator can run here, else what is missing and how to get it."""
    return "" if find_driver() is not None else MISSING


@dataclass(frozen=True)
class Loaded:
    """What the accelerator's log says of a file.

    Args:
        refusals: kinds of ops that it refuses, each with its reason.
        count: ops on the accelerator; None when it takes all.
        failure: why the file is refused, "" when it is loaded.
    """

    refusals: tuple[tuple[str, str], ...] = ()
    count: int | None = None
    failure: str = ""
    adapter: str = ""


def run(model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
    """Return what the accelerator does with a model.

    Args:
        model: the model to run.
        target: not read: the accelerator is one.
        inputs: a sample in the signature's order; None for seeded noise.

    Raises:
        OptionError: no driver is found, or it is too old for the accelerator.
    """
    del target
    with scratch_folder() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(serialize(model))
        arrays = list(inputs) if inputs is not None else noise_inputs(model)
        with open_process() as process:
            references = _references(process, path, arrays)
            loaded, answers = _load_and_run(process, path, arrays)
            if loaded.failure:
                details = {"cpu_refuses": not references}
                return ToolResult(TOOL, refused=loaded.failure, pieces=0, details=details)
            outputs = agreement(model, answers, references)
            accelerated, reasons, pieces = _placement(model, loaded)
            exact = all(output.exact for output in outputs)
            ops = () if exact else op_agreement(process, folder, model, (arrays, answers), accelerated)
    if all(output.right for output in outputs):
        # An inner tensor that the accelerator optimizes away is not written where it is made an output.
        ops = tuple(op for op in ops if op.right)
    first = f"{TOOL} on {loaded.adapter}: {_words(model, accelerated)}."
    return ToolResult(
        TOOL, accelerated=accelerated, reasons=reasons, pieces=pieces, outputs=outputs, ops=ops,
        wrong={op.place: op.words() for op in ops if not op.right},
        sentences=(first, *op_sentences(outputs, ops)),
        details={"adapter": loaded.adapter, "gpu_ops": len(accelerated)},
    )  # fmt: skip


def _words(model: Model, accelerated: frozenset[Place]) -> str:
    ops = sum(len(g.ops) for g in model.graphs)
    return f"{len(accelerated)} of {ops} ops run on it in one piece" if accelerated else "no op runs on it"


def open_process() -> AcceleratorProcess:
    """Return a process that finds the driver.

    Raises:
        OptionError: no driver is found.
    """
    driver = find_driver()
    if driver is None:
        raise OptionError(MISSING)
    return AcceleratorProcess(driver.environment(), {RUNTIME_FOLDER: str(package_folder())})


def load(
    process: AcceleratorProcess,
    path: Path,
    accelerators: Sequence[str] = ("gpu", "cpu"),
    *,
    signature: int = 0,
) -> Loaded:
    """Return what the log says while the accelerator takes a file, of a signature.

    Raises:
        OptionError: the driver is too old for the accelerator.
    """
    process.log()
    try:
        process.compile(path, accelerators, signature=signature)
        failure = ""
    except RuntimeFailureError as error:
        failure = str(error)
    return _read_log(process.log(), failure)


def _references(process: AcceleratorProcess, path: Path, arrays: Sequence[Array]) -> list[list[Array]]:
    """The answers of LiteRT's builtin kernels and of XNNPACK; none where the CPU refuses the file too.

    They come first: the accelerator may end the process.
    """
    found = []
    for options in (PLAIN, {}):
        with contextlib.suppress(RuntimeFailureError):  # the accelerator's own reason is the one that counts
            process.compile(path, ("cpu",), options=options)
            found.append(process.run(arrays))
    return found


def _load_and_run(
    process: AcceleratorProcess, path: Path, arrays: Sequence[Array]
) -> tuple[Loaded, list[Array]]:
    loaded = load(process, path)
    if loaded.failure:
        return loaded, []
    try:
        return loaded, process.run(arrays)
    except RuntimeFailureError as error:
        return _read_log(process.log(), str(error)), []


def _read_log(log: str, failure: str) -> Loaded:
    if "No adapters found" in log or "Failed to initialize WebGPU environment" in log:
        raise OptionError(
            "The Vulkan driver that was found is not enough for LiteRT's GPU accelerator. " + MISSING
        )
    found = _ADAPTER.search(log)
    adapter = found[1] if found else ""
    if failure:
        return Loaded(failure=_why(log, failure), adapter=adapter)
    count = _COUNT.findall(log)
    return Loaded(_refusals(log), int(count[-1]) if count else None, "", adapter)


def _refusals(log: str) -> tuple[tuple[str, str], ...]:
    if _HEAD not in log:
        return ()
    found = []
    for line in log.split(_HEAD, 1)[1].splitlines()[1:]:
        kind, colon, reason = line.partition(": ")
        if not colon or not re.fullmatch(r"[A-Z0-9_]+( \S+)?", kind):
            break
        found.append((kind, reason.strip()))
    return tuple(found)


def _why(log: str, failure: str) -> str:
    if _RUNTIME_SIZES in log:
        return "a tensor's size is known at run time only"
    if _VARIABLES in log:
        return "it has variable tensors, which LiteRT's CompiledModel does not load"
    return "the accelerator refuses it" if "died" in failure else failure


# -- which ops ------------------------------------------------------------------------------------


def _placement(model: Model, loaded: Loaded) -> tuple[frozenset[Place], dict[Place, str], int]:
    """The ops on the accelerator, why the others are not, and the pieces that run there (0 or 1)."""
    graph = model.main
    refused = dict(loaded.refusals)
    taken = _supported(graph, loaded)
    piece, _ = one_piece(graph, lambda op: taken[id(op)])
    if loaded.count is None and not refused:
        piece = list(graph.ops)
    inside = {id(op) for op in piece}
    accelerated = frozenset((0, i) for i, op in enumerate(graph.ops) if id(op) in inside)
    reasons = {}
    for i, op in enumerate(graph.ops):
        if id(op) not in inside:
            reasons[0, i] = refused.get(op.kind, "") if not taken[id(op)] else ""
    for g, other in enumerate(model.graphs[1:], start=1):
        reasons.update({(g, i): "" for i in range(len(other.ops))})
    return accelerated, reasons, int(bool(accelerated))


def _supported(graph: Graph, loaded: Loaded) -> dict[int, bool]:
    """Op → whether the accelerator supports it.

    The log names kinds, not ops. Where some ops of a refused kind may be supported, as many are tried alone
    as it takes to explain the number of ops in the log.
    """
    kinds = {kind.split(" ")[0] for kind, _ in loaded.refusals}
    taken = {id(op): op.kind not in kinds or is_unpacking(op) for op in graph.ops}
    expected = len(graph.ops) if loaded.count is None else loaded.count
    if len(one_piece(graph, lambda op: taken[id(op)])[0]) == expected and not _several(graph, kinds):
        return taken
    known: dict[str, bool] = {}
    for op in graph.ops:
        if op.kind in kinds and not is_unpacking(op):
            key = _alike(op)
            if key not in known:
                known[key] = _alone(op)
            taken[id(op)] = known[key]
    return taken


def _several(graph: Graph, kinds: set[str]) -> bool:
    """True when ops of a refused kind differ in types, shapes, constants or options."""
    forms: dict[str, set[str]] = {}
    for op in graph.ops:
        if op.kind in kinds and not is_unpacking(op):
            forms.setdefault(op.kind, set()).add(_alike(op))
    return any(len(found) > 1 for found in forms.values())


def _alike(op: Op) -> str:
    """What decides the support of an op, as text."""
    words = [f"{op.kind} {op.version} {sorted(op.options.items())}"]
    for tensor in (*op.inputs, *op.outputs):
        if tensor is None:
            words.append("-")
            continue
        source = tensor.producer
        constant = tensor.is_constant or (source is not None and is_unpacking(source))
        scales = 0 if tensor.quantization is None else tensor.quantization.scale.size
        small = tensor.data.tolist() if tensor.data is not None and tensor.size <= 8 else ""
        words.append(f"{tensor.dtype}{tensor.shape} {constant} {scales} {small}")
    return "; ".join(words)


def _alone(op: Op) -> bool:
    """True when the accelerator takes a file of this op alone."""
    model = _one_op(op)
    with scratch_folder() as folder, open_process() as process:
        path = Path(folder) / "op.tflite"
        path.write_bytes(serialize(model))
        loaded = load(process, path)
    return not loaded.failure and not loaded.refusals


def _one_op(op: Op) -> Model:
    """A model of one op, with the dequantizations of float16 constants that it reads."""
    before = [
        t.producer for t in op.inputs if t is not None and t.producer is not None and is_unpacking(t.producer)
    ]
    made = {t for other in before for t in other.outputs}
    inputs = list(
        dict.fromkeys(t for t in op.inputs if t is not None and not t.is_constant and t not in made)
    )
    graph, mapping = copy_part([*dict.fromkeys(before), op], inputs, op.outputs)
    named: Callable[[Sequence[Tensor]], dict[str, Tensor]] = lambda tensors: {  # noqa: E731 - used twice
        f"t{i}": mapping[t] for i, t in enumerate(tensors)
    }
    return Model([graph], [Signature("serving_default", named(inputs), named(op.outputs))])
