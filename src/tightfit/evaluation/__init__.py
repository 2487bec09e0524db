"""What a model is worth: accuracy with intervals, latency, footprint, error per op."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.evaluation.accuracy import wanted_metrics as wanted_metrics
else:
    __getattr__ = late(__name__, {"wanted_metrics": "accuracy"})
