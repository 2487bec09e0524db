"""The specification of a file that is built of a float model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tightfit.errors import OptionError, unknown_name
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.planning import Overrides
from tightfit.quantization.scheme import Scheme
from tightfit.recovery.steps import check_steps
from tightfit.streaming.slice_axes import NamedSlices

if TYPE_CHECKING:
    from tightfit.targets.profile import Target

JUDGES: Final = 16
"""Samples that judge automatic recoveries."""


FEWEST_TO_HOLD_OUT: Final = 40
"""With fewer samples than this, those that judge also fit."""


@dataclass(frozen=True)
class BuildSpec:
    """The file that is built of a source.

    Args:
        scheme: how weights and activations are stored, with the types of inputs and outputs.
        overrides: ordered (op name or kind, scheme or ``float``).
        observers: integer type → observer name; None for the defaults.
        recovery: names of ``recovery.steps.RECOVERIES``, older ones too; kept in the order in which they run.
        effort: 0 writes the plain file, 1 tries the automatic recoveries, 2 also keeps more ops in float.
        target: the device that the file is for, or None.
        layout: a key of ``LAYOUTS``.
        max_size_bytes: size limit of mixed precision; None for its default.
        max_noise: largest output noise of mixed activations (noise power / signal power); None for 0.01.
        folder: where a long recovery keeps what is finished; None for nowhere.
        mend: whether remedies are tried where a slice of an output is poor.
        slices: slices of outputs that the user named.
    """

    scheme: Scheme
    overrides: Overrides = ()
    observers: Mapping[str, str] | None = None
    recovery: tuple[str, ...] = ()
    effort: int = 0
    target: Target | None = None
    layout: str = "cpu"
    max_size_bytes: int | None = None
    max_noise: float | None = None
    folder: Path | None = None
    mend: bool = True
    slices: tuple[NamedSlices, ...] = ()

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            OptionError: a layout, an observer or a recovery is unknown; the closest match is named.
        """
        if self.layout not in LAYOUTS:
            raise OptionError(unknown_name("layout", self.layout, LAYOUTS))
        object.__setattr__(self, "recovery", check_steps(self.recovery))
        Ranges([], self.observers)

    def check_samples(self, *, given: bool) -> None:
        """Check that samples are there where the scheme or a recovery needs them.

        Raises:
            OptionError: they are missing.
        """
        if given:
            return
        if self.recovery:
            raise OptionError(
                f"Recovery ({', '.join(self.recovery)}) looks at samples; pass --data (about 100)."
            )
        if self.scheme.needs_data:
            raise OptionError(
                f"The scheme '{self.scheme.name}' needs sample inputs to calibrate with; "
                "pass --data (about 100 samples)."
            )

    @property
    def mends(self) -> bool:
        """Whether remedies are tried: only integer activations share a scale."""
        return self.mend and self.scheme.activations is not None

    @property
    def detailed(self) -> bool:
        """Whether calibration takes histograms, which recoveries and some observers need."""
        chosen = Ranges([], self.observers).detailed or self.is_automatic
        return bool(self.recovery) or self.target is not None or chosen

    @property
    def is_automatic(self) -> bool:
        """Whether recoveries are chosen by measurement."""
        named = bool(self.recovery) or bool(self.observers)
        return self.effort > 0 and not named and self.scheme.activations is not None
