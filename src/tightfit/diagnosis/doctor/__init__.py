"""The calibration doctor: evidence from samples and the float model, and the checks that judge it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.diagnosis.doctor.notes import quick_check as quick_check
else:
    __getattr__ = late(__name__, {"quick_check": "notes"})
