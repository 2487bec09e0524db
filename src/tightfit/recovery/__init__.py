"""Recoveries: post-training methods that reduce the error of a quantized model, with unlabelled samples.

What ``Builder`` runs unasked is imported when a file has integer activations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.recovery.automatic.held_out_noise import HeldOutNoise as HeldOutNoise
    from tightfit.recovery.automatic.improve import improve as improve
    from tightfit.recovery.slices.comparisons import comparison_notes as comparison_notes
    from tightfit.recovery.slices.remedy import mend as mend
    from tightfit.recovery.slices.remedy import mend_inputs as mend_inputs
else:
    _PLACES = {
        "HeldOutNoise": "automatic.held_out_noise",
        "comparison_notes": "slices.comparisons",
        "improve": "automatic.improve",
        "mend": "slices.remedy",
        "mend_inputs": "slices.remedy",
    }
    __getattr__ = late(__name__, _PLACES)
