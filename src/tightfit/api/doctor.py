"""The verb ``doctor``: is this data fit to calibrate with?"""

from __future__ import annotations

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.signature_data import model_of_signature
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.diagnosis.doctor.diagnosis import Diagnosis
from tightfit.diagnosis.doctor.examine import doctor as examine_data
from tightfit.kinds import DataLike, ModelLike
from tightfit.spoken import verb


@verb()
def doctor(  # noqa: PLR0913 - the options of one verb
    model: ModelLike,
    data: DataLike,
    *,
    image: Image = None,
    calibration: int = 100,
    calibration_data: DataLike | None = None,
    seed: int = 0,
    signature: str | None = None,
    progress: ProgressLike = None,
) -> Diagnosis:
    """Return what is wrong with data to calibrate a float model with, errors first.

    Args:
        model: a float model, anything that ``load`` takes.
        data: samples, as all verbs take them.
        image: how images become arrays.
        calibration: how many samples calibrate; the others evaluate.
        calibration_data: samples of their own to calibrate with.
        seed: of the split, the same as in ``optimize``.
        signature: the signature to look at, where the model has several.
        progress: see ``tightfit.Progress``.

    Returns:
        findings, errors first.

    Raises:
        ModelError: the model is not a float model.
        DataError: the data does not fit it.

    Example:
        ``tightfit.doctor("model.tflite", "samples.npz")``
    """
    with tracked(progress) as tracker:
        return examine_data(
            model_of_signature(model, signature),
            data,
            image=image_options(image),
            calibration=calibration,
            calibration_data=calibration_data,
            seed=seed,
            progress=tracker.steps("examining"),
        )
