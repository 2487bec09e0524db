"""Small models with a plan, and the file that is written from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from support.models import conv_net, random_inputs, residual_net
from tightfit.data.sample import Sample
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import clean
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import Source, write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan

MODELS = {"conv": conv_net, "residual": residual_net}


def samples_of(model: Model, count: int) -> list[Sample]:
    """Normal random samples under the names of the model's inputs."""
    return [Sample(random_inputs(model, seed)) for seed in range(count)]


def planned(model: Model, scheme: str, samples: Sequence[Sample], overrides: Sequence = ()) -> Plan:
    """The plan of a model calibrated on samples."""
    seen = calibrate(model, [s.inputs for s in samples], workers=1)
    return make_plan(model, scheme, Ranges([seen.statistics]), overrides=overrides)


def written(model: Model, plan: Plan, samples: Sequence[Sample], folder: Path, target: str = "npu") -> Path:
    """The file of a plan."""
    path = folder / "model.tflite"
    write_model(model, folder / "float.tflite")
    seen = calibrate(model, [s.inputs for s in samples[:2]], workers=1)
    return write_plan(
        Source(folder / "float.tflite", model), plan, path, target=target, probes=seen.probes
    ).path


def cleaned(path: Path) -> Model:
    """A float file, read and cleaned."""
    model = read_model(path)
    clean(model)
    return model


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference."""
    return float(np.abs(a.astype(np.float64) - b).max())
