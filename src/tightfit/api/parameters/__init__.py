"""How what a caller passes is read: sizes, images, inputs of a model, samples that shape and measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.api.parameters.arguments import image_options as image_options
    from tightfit.api.parameters.arguments import parse_size as parse_size
    from tightfit.api.parameters.calibration_samples import CalibrationSamples as CalibrationSamples
else:
    __getattr__ = late(
        __name__,
        {
            "CalibrationSamples": "calibration_samples",
            "image_options": "arguments",
            "parse_size": "arguments",
        },
    )
