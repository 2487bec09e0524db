"""What a deployment to a microcontroller wrote and measured: flash, arena, layers, sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tightfit.compression.decoding.decode_ops import FORMS, StoredWeight
from tightfit.deployment.host_build import HostBuild
from tightfit.result import Result, Row
from tightfit.units import format_ratio


@dataclass(frozen=True)
class MicroMemory:
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
    plain: MicroMemory
    deployed: MicroMemory
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
