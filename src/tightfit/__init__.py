"""Make a trained model fit its device: smaller, faster, still accurate, with proof.

One function for each command of the ``tightfit`` command line, under the same name; each is loaded when it is
first used, so that ``import tightfit`` loads neither Keras nor LiteRT.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tightfit.api.check import CheckResult, advise, check, models
    from tightfit.api.cluster import cluster
    from tightfit.api.compare import compare
    from tightfit.api.convert import convert
    from tightfit.api.deploy import deploy
    from tightfit.api.describe_data import DataDescription, describe_data
    from tightfit.api.doctor import doctor
    from tightfit.api.evaluate import Benchmark, Evaluation, benchmark, evaluate
    from tightfit.api.explain import explain
    from tightfit.api.finetune import finetune
    from tightfit.api.inspect import Inspection, inspect
    from tightfit.api.optimize import optimize
    from tightfit.api.parameters.finetune_options import FinetuneOptions
    from tightfit.api.progress.tracking import Progress
    from tightfit.api.prune import prune
    from tightfit.api.prune_channels import channel_groups, prune_channels
    from tightfit.api.quantize import quantize
    from tightfit.api.results.channel_pruning_result import ChannelPruningResult
    from tightfit.api.results.compression_result import CompressionResult
    from tightfit.api.results.finetune_result import FinetuneResult
    from tightfit.api.simulate import simulate, simulate_float16
    from tightfit.api.track import Tracked, track
    from tightfit.api.verify import diff, sign, verify
    from tightfit.compression.clustering import Clusters
    from tightfit.compression.sparsity.pruning import Pruning
    from tightfit.conversion.conversion_options import ConversionOptions
    from tightfit.conversion.conversion_result import ConversionResult
    from tightfit.conversion.load_model import load
    from tightfit.data.images.image_options import ImageOptions
    from tightfit.data.python_objects import IterableData as Dataset
    from tightfit.diagnosis.doctor.diagnosis import Diagnosis
    from tightfit.diagnosis.explain.explanation import Explanation
    from tightfit.diagnosis.file_difference import FileDifference
    from tightfit.distributed.options import RayCluster
    from tightfit.errors import (
        DataError,
        ModelError,
        OptionError,
        QuantizationError,
        RuntimeFailureError,
        TightfitError,
    )
    from tightfit.evaluation.devices.ssh_device import Device
    from tightfit.evaluation.scorecard import Accuracy
    from tightfit.pipeline.quantization_result import QuantizationResult
    from tightfit.provenance.replay import Replay
    from tightfit.report.comparison.compare_runs import Comparison
    from tightfit.report.report import Report
    from tightfit.result import ResultList
    from tightfit.search.advisor import Advice
    from tightfit.search.job import Job
    from tightfit.search.verdict.budget import Budget
    from tightfit.streaming.slice_axes import NamedSlices
    from tightfit.targets.hosted_models import ReadyModel
    from tightfit.targets.places.float16 import Float16Simulation
    from tightfit.training.simulation.comparison import Simulation

__version__ = "0.2.0"

_PLACES = {
    **dict.fromkeys(("Benchmark", "Evaluation", "benchmark", "evaluate"), "api.evaluate"),
    **dict.fromkeys(("Inspection", "inspect"), "api.inspect"),
    **dict.fromkeys(("diff", "sign", "verify"), "api.verify"),
    **dict.fromkeys(("CheckResult", "advise", "check", "models"), "api.check"),
    **dict.fromkeys(("channel_groups", "prune_channels"), "api.prune_channels"),
    **{
        name: f"api.{name}"
        for name in (
            "cluster",
            "compare",
            "convert",
            "deploy",
            "doctor",
            "explain",
            "finetune",
            "optimize",
            "prune",
            "quantize",
            "simulate",
        )
    },
    **dict.fromkeys(("Tracked", "track"), "api.track"),
    "simulate_float16": "api.simulate",
    **dict.fromkeys(("DataDescription", "describe_data"), "api.describe_data"),
    "load": "conversion.load_model",
    **dict.fromkeys(
        (
            "DataError",
            "ModelError",
            "OptionError",
            "QuantizationError",
            "RuntimeFailureError",
            "TightfitError",
        ),
        "errors",
    ),
    "Advice": "search.advisor",
    "Accuracy": "evaluation.scorecard",
    "Budget": "search.verdict.budget",
    "ConversionResult": "conversion.conversion_result",
    "ConversionOptions": "conversion.conversion_options",
    "Device": "evaluation.devices.ssh_device",
    "ChannelPruningResult": "api.results.channel_pruning_result",
    "CompressionResult": "api.results.compression_result",
    "Diagnosis": "diagnosis.doctor.diagnosis",
    "Explanation": "diagnosis.explain.explanation",
    "FileDifference": "diagnosis.difference",
    "FinetuneOptions": "api.parameters.finetune_options",
    "FinetuneResult": "api.results.finetune_result",
    "NamedSlices": "streaming.slice_axes",
    "Progress": "api.progress.tracking",
    "RayCluster": "distributed.options",
    "Replay": "provenance.replay",
    "Clusters": "compression.clustering",
    "Comparison": "report.comparison.compare_runs",
    "Dataset": "data.python_objects",
    "Float16Simulation": "targets.places.float16",
    "ImageOptions": "data.images.image_options",
    "Job": "search.job",
    "Pruning": "compression.sparsity.pruning",
    "QuantizationResult": "pipeline.write",
    "ReadyModel": "targets.hosted_models",
    "Report": "report.report",
    "ResultList": "result",
    "Simulation": "training.simulation.comparison",
}
_OTHER_NAMES = {"Dataset": "IterableData"}

__all__ = [
    "Accuracy",
    "Advice",
    "Benchmark",
    "Budget",
    "ChannelPruningResult",
    "CheckResult",
    "Clusters",
    "Comparison",
    "CompressionResult",
    "ConversionOptions",
    "ConversionResult",
    "DataDescription",
    "DataError",
    "Dataset",
    "Device",
    "Diagnosis",
    "Evaluation",
    "Explanation",
    "FileDifference",
    "FinetuneOptions",
    "FinetuneResult",
    "Float16Simulation",
    "ImageOptions",
    "Inspection",
    "Job",
    "ModelError",
    "NamedSlices",
    "OptionError",
    "Progress",
    "Pruning",
    "QuantizationError",
    "QuantizationResult",
    "RayCluster",
    "ReadyModel",
    "Replay",
    "Report",
    "ResultList",
    "RuntimeFailureError",
    "Simulation",
    "TightfitError",
    "Tracked",
    "__version__",
    "advise",
    "benchmark",
    "channel_groups",
    "check",
    "cluster",
    "compare",
    "convert",
    "deploy",
    "describe_data",
    "diff",
    "doctor",
    "evaluate",
    "explain",
    "finetune",
    "inspect",
    "load",
    "models",
    "optimize",
    "prune",
    "prune_channels",
    "quantize",
    "sign",
    "simulate",
    "simulate_float16",
    "track",
    "verify",
]


if not TYPE_CHECKING:  # a type checker reads the imports above, and reports a wrong name

    def __getattr__(name: str) -> object:
        if name in _PLACES:
            return getattr(import_module(f"tightfit.{_PLACES[name]}"), _OTHER_NAMES.get(name, name))
        raise AttributeError(f"module 'tightfit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
