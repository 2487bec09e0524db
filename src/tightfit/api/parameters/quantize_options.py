"""The options of ``quantize`` as one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit import targets
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.quantization.planning import Overrides
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.streaming.slice_axes import NamedSlices


def observers_of(observer: str | Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return integer type → observer."""
    return dict.fromkeys(("int8", "int16"), observer) if isinstance(observer, str) else observer


def as_names(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of a text with commas, or of a sequence."""
    return tuple(filter(None, text.split(","))) if isinstance(text, str) else tuple(text)


@dataclass(frozen=True)
class QuantizeOptions:
    """What ``quantize`` takes besides model, scheme and data.

    Args:
        interface: type of the model's inputs and outputs; None for float32, or what the target takes.
        calibration: samples to calibrate with.
        overrides: ordered (op name or kind, scheme or ``float``).
        observers: integer type → observer.
        layout: ``cpu``, ``npu`` or ``micro``; None for ``cpu``, or the target's.
        recovery: names of ``recovery.steps.RECOVERIES``.
        max_size: size limit of mixed precision, in bytes.
        max_noise: largest output noise of mixed activations (noise power / signal power); None for 1 %.
        target: name of the device that the file is for.
        provenance: False leaves it out of the file.
        doctor: False says nothing about the data.
        mend: False tries no remedy for poor slices.
        slices: slices of outputs that the user named.
        base: the scheme of a recipe; None for the one that is named.
    """

    interface: str | None = None
    calibration: int = 100
    seed: int = 0
    overrides: Overrides = ()
    observers: Mapping[str, str] | None = None
    layout: str | None = None
    recovery: tuple[str, ...] = ()
    effort: int = 1
    max_size: int | None = None
    max_noise: float | None = None
    target: str | None = None
    provenance: bool = True
    doctor: bool = True
    mend: bool = True
    slices: tuple[NamedSlices, ...] = ()
    base: Scheme | None = None

    def facts(self) -> dict[str, Any] | None:
        """Return the options that the file was made with, for its provenance."""
        if not self.provenance:
            return None
        rules = [list(o) if isinstance(o, tuple) else [o.pattern, o.scheme] for o in self.overrides]
        chosen = {"target": self.target, "observers": dict(self.observers or {})}
        return {"overrides": rules, "recovery": list(self.recovery)} | {k: v for k, v in chosen.items() if v}

    def scheme(self, name: str) -> Scheme:
        """The scheme of a name with the types at the ends, as the target takes it."""
        if self.base is not None and self.target is None:
            return self.base.with_interface(self.interface or "float32")
        if self.target is None:
            return find_scheme(name, self.interface or "float32")
        device = targets.find_target(self.target)
        targets.require_tool(device)
        return targets.scheme_for(device, name, self.interface)

    @property
    def ends(self) -> str | None:
        """The type of inputs and outputs that was asked for; None leaves it to the source and the target."""
        return self.interface

    def spec(self, scheme: Scheme, output: Path) -> BuildSpec:
        """Return what file is asked for; the layout is the target's where none is named."""
        target = None if self.target is None else targets.find_target(self.target)
        own = "cpu" if target is None else target.family.layout
        return BuildSpec(
            scheme,
            overrides=self.overrides,
            observers=self.observers,
            recovery=self.recovery,
            effort=self.effort,
            target=target,
            layout=self.layout or own,
            max_size_bytes=self.max_size,
            max_noise=self.max_noise,
            folder=output.with_name(f"{output.name}.unfinished"),
            mend=self.mend and self.effort > 0,
            slices=self.slices,
        )
