"""The verb ``explain``: which op of a quantized file loses the accuracy, why, and which remedy helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tightfit.api.arguments import Image, image_options
from tightfit.conversion.load_model import open_model
from tightfit.diagnosis.explain.attribution import explain as explain_files
from tightfit.diagnosis.explain.explanation import ExplainRequest, Explanation
from tightfit.types import Steps


def explain(
    model: Any,
    quantized: str | Path,
    data: Any,
    *,
    image: Image = None,
    progress: Steps | None = None,
    **options: Any,
) -> Explanation:
    """Return the ops that lose the accuracy of a quantized file, ranked, with causes and measured remedies.

    Args:
        model: the float model, anything that ``load`` takes.
        quantized: the file that was made of it.
        data: samples, as all verbs take them.
        image: how images become arrays.
        progress: called with (steps done, steps in all).
        options: ``calibration``, ``evaluation``, ``metric``, ``seed``, ``remedies`` and ``output`` of
            ``ExplainRequest``.

    Raises:
        TightfitError: the files do not belong together, or the data does not fit.
    """
    request = ExplainRequest(open_model(model), quantized, data, image_options(image), **options)
    return explain_files(request, advance=progress)
