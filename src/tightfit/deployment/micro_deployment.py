"""Deploy a model to a microcontroller: make its smallest file, measure it there, write its sources."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.compression.decoding.decode_ops import FORMS, StoredWeight, store_encoded
from tightfit.deployment.c_project import Project, check_name, source_names, write_project
from tightfit.deployment.host_build import HostBuild, build
from tightfit.deployment.strip import PLANNED, strip_model
from tightfit.errors import ModelError, OptionError, RuntimeFailureError, unknown_name
from tightfit.files import atomic_file
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.sparsity import restore_sparse
from tightfit.graph.writer import serialize
from tightfit.result import Result, Row
from tightfit.scratch import scratch_folder
from tightfit.targets.needed_memory import memory_by_op
from tightfit.targets.profile import Target
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.targets.tools.micro import MicroRun, run_bytes
from tightfit.types import Array
from tightfit.units import format_ratio

TOOL: Final = "tflite-micro"
SAMPLES: Final = 8
_ALIGNMENT: Final = 16
_ATTEMPTS: Final = 8
REPORT: Final = "deployment.json"


@dataclass(frozen=True)
class Measured:
    """A file in tflite-micro.

    Args:
        flash_bytes: size of the file.
        arena_bytes: least arena.
        persistent_bytes: its part for the interpreter's own structures.
    """

    flash_bytes: int
    arena_bytes: int
    persistent_bytes: int


@dataclass(frozen=True)
class LayerMemory:
    """What one op costs.

    Args:
        op: its kind.
        flash_bytes: constants that it is the first to read.
        ram_bytes: tensors alive in it.
    """

    op: str
    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, repr=False)
class Deployment(Result):
    """The sources of an application, and what was measured.

    Args:
        folder: where they are.
        files: their names.
        target: name of the device.
        given_bytes: size of the file as it was given.
        plain: the file without what tflite-micro does not read.
        deployed: the file in the sources.
        stored: constants in a compressed form.
        samples: on so many samples of noise both files give equal outputs, bit for bit.
        layers: of the deployed file, in its order.
        host: what was compiled and run on this computer.
        problems: why it does not fit the device; empty when it does or nothing is known of it.
        notes: other sentences.
    """

    folder: Path
    files: tuple[str, ...]
    target: str
    given_bytes: int
    plain: Measured
    deployed: Measured
    stored: tuple[StoredWeight, ...]
    samples: int
    layers: tuple[LayerMemory, ...]
    host: HostBuild
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder

    @property
    def fits(self) -> bool:
        """True when no limit of the device is known to be broken."""
        return not self.problems

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return what each op costs."""
        return ("op", "flash bytes", "RAM bytes"), [(r.op, r.flash_bytes, r.ram_bytes) for r in self.layers]

    def headline(self) -> str:
        """Return flash and RAM in one line."""
        made = self.deployed
        return f"Deployment({self.target}, flash {made.flash_bytes:,}, arena {made.arena_bytes:,} bytes)"

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "target": self.target,
            "given_bytes": self.given_bytes,
            "plain": vars(self.plain),
            "deployed": vars(self.deployed),
            "stored": [vars(s) for s in self.stored],
            "equal_on_samples": self.samples,
            "layers": [vars(layer) for layer in self.layers],
            "compiled": list(self.host.compiled),
            "example_ran": self.host.ran,
            "example": list(self.host.said),
            "fits": self.fits,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return what people read of it."""
        plain, file = self.plain, self.deployed
        ratio = format_ratio(file.flash_bytes / self.given_bytes)
        lines = [f"flash: {file.flash_bytes:,} bytes, {ratio} of the {self.given_bytes:,} of the given file"]
        if self.stored:
            lines[0] += f", {format_ratio(file.flash_bytes / plain.flash_bytes)} of it without compression"
        arena = f"arena: {file.arena_bytes:,} bytes of RAM, measured in tflite-micro on this computer"
        lines.append(arena + (f" ({plain.arena_bytes:,} without compression)" if self.stored else ""))
        lines.append(f"outputs: equal to the given file's, bit for bit, on {self.samples} samples of noise")
        for form in FORMS:
            own = [s for s in self.stored if s.form == form]
            if own:
                before, after = sum(s.before for s in own), sum(s.after for s in own)
                lines.append(f"{FORMS[form].title}: {len(own)} constants, {before:,} → {after:,} bytes")
        compiled = ", ".join(self.host.compiled)
        lines += [f"compiled without warnings (-Wall -Wextra): {compiled}"] if compiled else []
        return [*lines, *(f"example: {words}" for words in self.host.said), *self.notes, *self.problems]


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
    _refuse_other_files(output, options.name)
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
        facts = found.to_dict() | {"sha256": {p.name: _sha256(p) for p in sorted(scratch.iterdir())}}
        (scratch / REPORT).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        _publish(scratch, output)
    return found


def _stripped(model: Model, samples: Sequence[Sequence[Array]], given: MicroRun) -> tuple[Model, Measured]:
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
    return stripped, Measured(len(file), arena, run.persistent_bytes)


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


def _problems(target: Target, measured: Measured) -> tuple[str, ...]:
    limits = (
        ("RAM", target.memory_bytes, measured.arena_bytes, "arena"),
        ("flash", target.flash_bytes, measured.flash_bytes, "model"),
    )
    return tuple(
        f"The {what} of {needed:,} bytes does not fit the {limit:,} bytes of {memory} of {target.title}."
        for memory, limit, needed, what in limits
        if limit is not None and needed > limit
    )


def _refuse_other_files(output: Path, name: str) -> None:
    """Checks that a folder has no files but those of an earlier deployment, as that wrote them."""
    if output.exists() and not output.is_dir():
        raise OptionError(f"Received the output '{output}', which is a file; expected a folder.")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / REPORT).is_file():
        raise OptionError(
            f"The folder '{output}' holds other files; expected an empty or new folder, or one of an earlier "
            "deployment."
        )
    known = _earlier_files(output / REPORT)
    for path in (output / file for file in (*source_names(name), f"{name}.tflite")):
        if path.is_file() and known.get(path.name, "") not in ("", _sha256(path)):
            raise OptionError(
                f"'{path}' was changed after it was deployed; choose another folder, or move the file away."
            )
        if path.is_file() and path.name not in known:
            raise OptionError(
                f"'{path}' is no file of the earlier deployment; choose another folder or --name."
            )


def _earlier_files(report: Path) -> dict[str, str]:
    """The files of an earlier deployment with their SHA-256, "" where the report does not have it."""
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
        return dict.fromkeys(map(str, facts["files"]), "") | dict(facts.get("sha256", {}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(scratch: Path, output: Path) -> None:
    """Moves the files into the output; the report last, so that a folder with one is complete."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for path in sorted(scratch.iterdir(), key=lambda p: p.name == REPORT):
            with path.open("rb") as source, atomic_file(output / path.name) as file:
                shutil.copyfileobj(source, file)
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {error.strerror}. Choose a writable place.") from error
