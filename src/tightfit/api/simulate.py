"""Compare the integer simulation of training with LiteRT, and simulate a phone's float16 arithmetic."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.api.parameters.signature_data import signature_file
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.quantize import quantize
from tightfit.conversion.held_models import label_of
from tightfit.conversion.open_model import open_model
from tightfit.conversion.scale_hints import may_be_quantized
from tightfit.data.sources import check_data, open_data
from tightfit.data.split import split
from tightfit.errors import ModelError, OptionError
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike
from tightfit.quantization.from_integers.held import is_quantized
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.emulator import find_emulator, is_available
from tightfit.runtime.session import Session
from tightfit.scratch import kept_folder, scratch_folder
from tightfit.spoken import verb
from tightfit.targets.places.float16 import Float16Simulation, float16_simulation
from tightfit.targets.places.gpu_session import GpuSession
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
    device: str | None = None,
    signature: str | None = None,
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
        device: whose arithmetic is simulated: ``x86`` or ``arm`` (by default this computer's), where LiteRT
            runs on an emulated core if one is found; ``gpu``, LiteRT's GPU accelerator beside this computer's
            kernels. ``simulate_float16`` simulates a phone's.
        signature: the signature to look at, where the model has several.
        progress: see ``tightfit.Progress``.

    Returns:
        difference of each op in steps of its output, and the share of equal decisions.

    Raises:
        OptionError: Keras is missing, or a float model is given without a scheme.
            The device is unknown.
        ModelError: the file has loops or no integer ops, or an op has no lowering.

    Example:
        ``tightfit.simulate("int8.tflite", "samples.npz")``
    """
    if device not in (None, *DEVICES):
        raise OptionError(f"Received '{device}' as the device; expected one of {', '.join(DEVICES)}.")
    if scheme is not None:
        find_scheme(scheme)
    if scheme is None and not may_be_quantized(model):
        raise OptionError(
            f"'{label_of(model)}' is float; name a scheme to simulate: int8, int16x8 or int8x4."
        )
    choose_backend()
    check_data(data)
    path = signature_file(open_model(model), signature)
    stored = read_model(path)
    if any(op.kind == "WHILE" for op in stored.main.ops):
        raise ModelError(
            f"'{path.name}' has loops (WHILE), which are not simulated; write them out in its float model "
            "(convert --recurrent unrolled), quantize that, and simulate the file."
        )
    if scheme is None and not is_quantized(stored):
        raise OptionError(f"'{path.name}' is float; name a scheme to simulate: int8, int16x8 or int8x4.")
    options = image_options(image)
    dataset = open_data(data, image=options, inputs=inputs_of(stored, path))
    from tightfit.training.integer.integer_file import as_float, is_integer  # noqa: PLC0415 - loads Keras
    from tightfit.training.simulation.simulate_ops import simulate as compare  # noqa: PLC0415 - loads Keras

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
        opens, ran_on = _device(device)
        with tracked(progress) as tracker:
            steps = tracker.steps("simulating")
            found = compare(
                twin, plan, file, dataset.samples(chosen), opens=opens,
                device=None if device == "gpu" else device,
                progress=lambda done: steps(done, len(chosen)),
            )  # fmt: skip
    return replace(found, ran_on=ran_on)


DEVICES: Final = ("x86", "arm", "gpu")


def _device(device: str | None) -> tuple[Callable[[str | Path | bytes], Session | GpuSession], str]:
    """How LiteRT runs a file on a kind of processor, and a sentence where that is not this computer's."""
    here = "arm" if platform.machine().lower() in ("aarch64", "arm64") else "x86"
    if device in (None, here):
        return Session, ""
    if device == "gpu":
        return (
            _open_on_gpu,
            "LiteRT's GPU accelerator ran the file; the kernels of this computer's CPU are simulated.",
        )
    if device == "arm" and is_available():
        emulator = find_emulator()
        return partial(Session, on=emulator), f"LiteRT ran on {emulator.title}."
    return Session, (
        f"The kernels of {device} are simulated and LiteRT ran on this computer ({here}), so the differences "
        "are those between the processors."
    )


def _open_on_gpu(model: str | Path | bytes) -> GpuSession:
    if not isinstance(model, bytes):
        return GpuSession(model)
    path = kept_folder() / "model.tflite"
    path.write_bytes(model)
    return GpuSession(path)


@verb()
def simulate_float16(
    model: ModelLike,
    data: DataLike,
    *,
    image: Image = None,
    limit: int = 1000,
    seed: int = 0,
    signature: str | None = None,
) -> Float16Simulation:
    """Return what the float16 arithmetic of a phone's GPU does to each op of a model.

    Args:
        model: a float or integer model; only the float ops that the GPU takes are rounded.
        data: the samples.
        image: preprocessing of images.
        limit: most samples.
        seed: of the choice of samples.
        signature: the signature to look at, where the model has several.

    Returns:
        Float16Simulation: for each op what rounding to float16 changes and what overflows.

    Raises:
        ModelError: the model cannot be read.
        DataError: the data does not fit it.

    Example:
        ``tightfit.simulate_float16("model.tflite", "samples.npz")``
    """
    check_data(data)
    path = signature_file(open_model(model), signature)
    stored = read_model(path)
    dataset = open_data(data, image=image_options(image), inputs=inputs_of(stored, path))
    chosen, _ = split(dataset.labels(), len(dataset), min(limit, len(dataset)), seed=seed, overlap=True)
    return float16_simulation(path, dataset.samples(chosen))
