"""The verb ``explain``: which op of a quantized file loses the accuracy, why, and which remedy helps."""

from __future__ import annotations

from pathlib import Path

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.signature_data import signature_file
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.conversion.open_model import open_model
from tightfit.data.sources import check_data
from tightfit.diagnosis.explain.attribution import explain as explain_files
from tightfit.diagnosis.explain.explanation import ExplainRequest, Explanation
from tightfit.evaluation.accuracy import Asked, wanted_metrics
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.spoken import verb


@verb()
def explain(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    quantized: Pathlike,
    data: DataLike,
    output: Pathlike | None = None,
    *,
    image: Image = None,
    calibration: int = 100,
    evaluation: int = 64,
    metric: Asked = "auto",
    remedies: bool = True,
    seed: int = 0,
    signature: str | None = None,
    progress: ProgressLike = None,
) -> Explanation:
    """Return the ops that lose the accuracy of a quantized file, ranked, with causes and measured remedies.

    Args:
        model: the float model, anything that ``load`` takes.
        quantized: the file that was made of it.
        data: samples, as all verbs take them.
        output: where the file of the best remedy goes; None: nowhere.
        image: how images become arrays.
        calibration: samples to calibrate remedies with.
        evaluation: most samples to measure on.
        metric: as in ``evaluate``; the main one is explained.
        remedies: False only finds the op and the cause.
        seed: of the split.
        signature: the signature to look at, where the models have several.
        progress: see ``tightfit.Progress``.

    Returns:
        the error of each op, largest first, its causes, and the measured gain of remedies.

    Raises:
        TightfitError: the files do not belong together, or the data does not fit.

    Example:
        ``tightfit.explain("float.tflite", "int8.tflite", "samples.npz")``
    """
    wanted_metrics(metric)
    check_data(data)
    if not Path(quantized).exists():
        read_model(Path(quantized))  # says so before the other model is converted
    request = ExplainRequest(
        signature_file(open_model(model), signature),
        signature_file(Path(quantized), signature),
        data,
        image_options(image),
        calibration,
        evaluation,
        metric,
        seed,
        remedies,
        None if output is None else Path(output),
    )
    with tracked(progress) as tracker:
        return explain_files(request, stage=tracker.stage, advance=tracker.advance)
