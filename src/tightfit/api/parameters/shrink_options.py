"""The options that ``prune`` and ``cluster`` share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.accuracy import wanted_metrics
from tightfit.kinds import DataLike
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.scheme import SCHEMES

FLOAT: Final = "float"


@dataclass(frozen=True)
class ShrinkOptions:
    """What both verbs take besides what is wanted of the weights.

    Args:
        scheme: ``float`` or a quantization scheme.
        interface: type of inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``.
        data: samples, or signature key → samples; labels measure.
        calibration: how many shape the file.
        provenance: the recipe and expected answers inside the file.
        metric: what the samples measure, see ``evaluate``.
    """

    scheme: str = FLOAT
    interface: str = "float32"
    layout: str = "cpu"
    data: DataLike | None = None
    image: ImageOptions | None = None
    calibration: int = 100
    seed: int = 0
    provenance: bool = True
    metric: str = "auto"

    def __post_init__(self) -> None:
        wanted_metrics(self.metric)
        if self.scheme not in (FLOAT, *SCHEMES):
            raise OptionError(unknown_name("scheme", self.scheme, (FLOAT, *SCHEMES)))
        if self.layout not in LAYOUTS:
            raise OptionError(unknown_name("layout", self.layout, LAYOUTS))
        if self.data is None and self.scheme != FLOAT and SCHEMES[self.scheme].needs_data:
            raise OptionError(
                f"The scheme '{self.scheme}' needs sample inputs to calibrate with; pass --data (about 100 "
                "samples)."
            )


def shrink_options(
    options: ShrinkOptions | None,
    data: DataLike | None,
    image: Image,
    scheme: str | None,
    rest: tuple[str | None, str | None, int | None, bool | None, int | None, str | None],
) -> ShrinkOptions:
    """Return the options of an object with what keywords say; ``rest``: the last six fields' keywords."""
    names = ("interface", "layout", "calibration", "provenance", "seed", "metric")
    given: dict[str, Any] = {"data": data, "image": image_options(image), "scheme": scheme}
    given |= dict(zip(names, rest, strict=True))
    return replace(options or ShrinkOptions(), **{k: v for k, v in given.items() if v is not None})
