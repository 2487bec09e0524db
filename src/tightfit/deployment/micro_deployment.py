"""Deploy a model to a microcontroller: make its smallest file, measure it there, write its sources."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.compression.decoding.decode_ops import FORMS, StoredWeight, store_encoded
from tightfit.deployment.c_project import Project, check_name, write_project
from tightfit.deployment.deployed_files import REPORT, digest_of, publish, refuse_other_files
from tightfit.deployment.deployment import Deployment, LayerMemory, MicroMemory
from tightfit.deployment.host_build import build
from tightfit.deployment.strip import PLANNED, strip_model
from tightfit.errors import ModelError, OptionError, RuntimeFailureError, unknown_name
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.sparsity import restore_sparse
from tightfit.graph.writer import serialize
from tightfit.scratch import scratch_folder
from tightfit.targets.needed_memory import memory_by_op
from tightfit.targets.profile import Target
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.targets.tools.micro import MicroRun, run_bytes
from tightfit.types import Array

TOOL: Final = "tflite-micro"


SAMPLES: Final = 8


_ALIGNMENT: Final = 16


_ATTEMPTS: Final = 8


@dataclass(frozen=True)
class DeployOptions:
    """How a model is deployed.

    Args:
        forms: names of compressed forms to choose from, none for plain constants.
        name: prefix of files and identifiers.
        sources: folder of tflite-micro's sources, None without.

    Raises:
        OptionError: a form is unknown, or the name is no identifier.
    """

    forms: tuple[str, ...] = ()
    name: str = "model"
    sources: Path | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        for form in self.forms:
            if form not in FORMS:
                raise OptionError(unknown_name("form of compressed weights", form, FORMS))


def deploy_micro(
    model: Model, given_bytes: int, target: Target, output: Path, options: DeployOptions
) -> Deployment:
    """Write the sources of an application into a folder, and return what was measured.

    Args:
        model: a model that tflite-micro runs; it is not changed.
        given_bytes: size of its file.
        target: a microcontroller.
        output: the folder; it is made, or must be empty or of an earlier deployment.
        options: see ``DeployOptions``.

    Raises:
        ModelError: tflite-micro does not run the model, or a type of an input or output has no C type.
        OptionError: tflite-micro is not installed, or the folder holds other files.
        RuntimeFailureError: the compressed file gives other outputs.
    """
    refuse_other_files(output, options.name)
    dense = copy_model(model)
    notes = restore_sparse(dense)
    samples = [noise_inputs(dense, seed) for seed in range(SAMPLES)]
    outputs = len(dense.main.outputs)
    given = _run(serialize(dense), outputs, samples)
    plain, plain_measured = _stripped(dense, samples, given)
    deployed, measured = plain, plain_measured
    stored: list[StoredWeight] = []
    if options.forms and PLANNED in model.metadata:
        notes.append("Its constants stay as they are: the file plans the place of each tensor in the arena.")
    elif options.forms:
        compressed, stored = store_encoded(dense, options.forms)
        if stored:
            deployed, measured = _stripped(compressed, samples, given)
        else:
            notes.append("No constant is smaller in a compressed form.")
    project = Project(
        options.name, deployed, serialize(deployed), measured.arena_bytes, measured.persistent_bytes,
        samples[0], given.outputs[0], f"{platform.machine()}, {platform.architecture()[0]}",
    )  # fmt: skip
    with scratch_folder() as scratch:
        write_project(project, scratch)
        host = build(scratch, options.name, options.sources)
        (scratch / f"{options.name}.tflite").write_bytes(project.file)
        found = Deployment(
            output, tuple(sorted([*(p.name for p in scratch.iterdir()), REPORT])), target.name, given_bytes,
            plain_measured, measured, tuple(stored), SAMPLES, _layers(deployed), host,
            _problems(target, measured), tuple(notes),
        )  # fmt: skip
        facts = found.to_dict() | {"sha256": {p.name: digest_of(p) for p in sorted(scratch.iterdir())}}
        (scratch / REPORT).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        publish(scratch, output)
    return found


def _stripped(model: Model, samples: Sequence[Sequence[Array]], given: MicroRun) -> tuple[Model, MicroMemory]:
    """The model without what is not read, and its memory; checked to give the outputs of the given one."""
    stripped = strip_model(model)
    file, outputs = serialize(stripped), len(stripped.main.outputs)
    run = _run(file, outputs, samples)
    same = all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for first, second in zip(run.outputs, given.outputs, strict=True)
        for a, b in zip(first, second, strict=True)
    )
    if not same:
        raise RuntimeFailureError(
            "The file for the microcontroller gives other outputs than the model in tflite-micro; "
            "deploy it without --compress, and report this model."
        )
    arena = _least_arena(file, outputs, samples[:1], run.arena_bytes)
    return stripped, MicroMemory(len(file), arena, run.persistent_bytes)


def _run(
    file: bytes, outputs: int, samples: Sequence[Sequence[Array]], arenas: Sequence[int] = ()
) -> MicroRun:
    run = run_bytes(file, outputs, samples, arenas)
    if not run.runs:
        missing = f" It has no kernel for {', '.join(run.missing_ops)}." if run.missing_ops else ""
        raise ModelError(
            f"tflite-micro does not run the model: {run.reason}.{missing} "
            "See 'tightfit check MODEL --target micro'."
        )
    return run


def _least_arena(file: bytes, outputs: int, samples: Sequence[Sequence[Array]], used: int) -> int:
    """The bytes in use, rounded up, or a little more where allocating takes more than what stays in use."""
    size = _round_up(used)
    for _ in range(_ATTEMPTS):
        if run_bytes(file, outputs, samples, [size]).runs:
            return size
        size = _round_up(size + size // 16)
    raise RuntimeFailureError(f"tflite-micro runs the model in no arena between {used:,} and {size:,} bytes.")


def _round_up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _layers(model: Model) -> tuple[LayerMemory, ...]:
    graph = model.main
    costs = memory_by_op(graph)
    names = [op.custom_code or op.kind for op in graph.ops]
    return tuple(LayerMemory(name, *cost) for name, cost in zip(names, costs, strict=True))


def _problems(target: Target, measured: MicroMemory) -> tuple[str, ...]:
    limits = (
        ("RAM", target.memory_bytes, measured.arena_bytes, "arena"),
        ("flash", target.flash_bytes, measured.flash_bytes, "model"),
    )
    return tuple(
        f"The {what} of {needed:,} bytes does not fit the {limit:,} bytes of {memory} of {target.title}."
        for memory, limit, needed, what in limits
        if limit is not None and needed > limit
    )
