"""Compare the integer simulation of training with LiteRT."""

from __future__ import annotations

from pathlib import Path

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.quantize import quantize
from tightfit.conversion.load_model import open_model
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike
from tightfit.scratch import scratch_folder
from tightfit.spoken import verb
from tightfit.training.backend import choose_backend
from tightfit.training.simulation.comparison import Simulation


@verb()
def simulate(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    data: DataLike,
    scheme: str | None = None,
    *,
    image: Image = None,
    limit: int = 1000,
    seed: int = 0,
    progress: ProgressLike = None,
) -> Simulation:
    """Return the comparison of a quantized model's simulation with LiteRT, on the same samples.

    Args:
        model: an integer ``.tflite`` written by any tool, or a float model, which is quantized first.
        data: the samples.
        scheme: scheme to quantize a float model by: int8, int16x8 or int8x4.
        image: preprocessing of images.
        limit: most samples whose decisions are compared; every op is compared on the first 8.
        seed: of the choice of samples.
        progress: see ``tightfit.Progress``.

    Raises:
        OptionError: Keras is missing, or a float model is given without a scheme.
        ModelError: the file has no integer ops, or an op has no lowering.
    """
    choose_backend()
    from tightfit.training.integer.integer_file import as_float, is_integer  # noqa: PLC0415 - loads Keras
    from tightfit.training.simulation.simulate_ops import simulate as compare  # noqa: PLC0415 - loads Keras

    path = open_model(model)
    stored = read_model(path)
    options = image_options(image)
    dataset = open_data(data, image=options, inputs=inputs_of(stored, path))
    chosen, _ = split(dataset.labels(), len(dataset), min(limit, len(dataset)), seed=seed, overlap=True)
    with scratch_folder() as folder:
        file = path
        if not is_integer(stored):
            if scheme is None:
                raise OptionError(
                    f"'{path.name}' is float; name a scheme to simulate: int8, int16x8 or int8x4."
                )
            file = Path(folder) / "quantized.tflite"
            quantize(path, scheme, file, data=data, image=options, layout="npu", progress=False)
        twin, plan = as_float(read_model(file))
        with tracked(progress) as tracker:
            told = tracker.steps("simulating")
            return compare(
                twin, plan, file, dataset.samples(chosen), progress=lambda done: told(done, len(chosen))
            )
