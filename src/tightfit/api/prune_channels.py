"""The verb ``prune_channels``: from a float file and a budget to a smaller float file, checked on LiteRT."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from tightfit.api.parameters.arguments import Image, Size, image_options, parse_size
from tightfit.api.parameters.divided_data import DividedData, divide_data
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.channel_pruning_result import ChannelPruningResult
from tightfit.api.results.ruin import ruin_notes
from tightfit.compression.channels.channel_groups import find_dependencies
from tightfit.compression.channels.channel_pruning import (
    ChannelBudget,
    ChannelOptions,
    Measure,
    describe,
)
from tightfit.compression.channels.channel_pruning import prune_channels as prune
from tightfit.compression.channels.importance import find_importance
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.data.cached_samples import remembered
from tightfit.data.sources import check_data
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.evaluation.accuracy import wanted_metrics
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.files import refuse_input_as_output
from tightfit.graph.ir import Model
from tightfit.graph.writer import write_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_float
from tightfit.quantization.checking import random_probes
from tightfit.scratch import scratch_folder
from tightfit.spoken import verb
from tightfit.types import Stage
from tightfit.weights.statistics import refuse_bad_weights

_ROUNDS: Final = 15


_SECONDS: Final = 8.0


@verb()
def channel_groups(model: ModelLike) -> list[dict[str, object]]:
    """Return the groups of channels of a model that go together, and why some must stay.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.

    Returns:
        one dictionary a group: ``name``, ``channels``, ``macs``, ``made_by``, ``summed_by``, ``frozen``.

    Raises:
        ModelError: the file cannot be read, or is quantized.

    Example:
        ``tightfit.channel_groups("model.tflite")``
    """
    return describe(find_dependencies(open_source(model).model))


@verb(size="max_size", latency="max_latency", samples="calibration", stage="progress")
def prune_channels(  # noqa: PLR0913 - a budget of three kinds, and data
    model: ModelLike,
    output: Pathlike | None = None,
    *,
    macs: float | None = None,
    max_size: Size = None,
    max_latency: float | None = None,
    importance: str | None = None,
    refit: bool = True,
    multiple: int = 8,
    data: DataLike | None = None,
    image: Image = None,
    calibration: int = 250,
    metric: str = "auto",
    seed: int = 0,
    progress: ProgressLike = None,
) -> ChannelPruningResult:
    """Write a smaller float file without the channels that matter least.

    Exactly one of ``macs``, ``max_size`` and ``max_latency`` is the budget.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        macs: fraction of the multiply–accumulates to keep.
        max_size: bytes of the file, or text such as ``"300kB"``.
        max_latency: fraction of the original's latency, measured on this machine.
        importance: ``magnitude``, ``reconstruction`` or ``taylor``.
        refit: fit what is left to the data.
        multiple: the kept channels of a group are rounded to a multiple of it.
        data: samples; labels measure.
        image: how image files become arrays.
        calibration: samples that rank and fit at most.
        metric: what the other samples measure, see ``evaluate``.
        seed: of the split.
        progress: see ``tightfit.Progress``.

    Returns:
        the file, its MACs, sizes and latency beside the model's, and what each group lost.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.prune_channels("model.tflite", "small.tflite", macs=0.5, data="samples.npz")``
    """
    place = temporary_place(label_of(model)) if output is None else Path(output)
    check_paths({"model": model, "data": data}, {"The output": place})
    wanted_metrics(metric)
    budget = ChannelBudget(macs, parse_size(max_size), max_latency)
    options = ChannelOptions(importance, refit, multiple)
    check_data(data)
    if data is None and importance is not None and find_importance(importance).needs_samples:
        raise OptionError(
            f"The importance '{importance}' needs samples; pass --data (100 or more), or take magnitude."
        )
    source = open_source(model)
    divided = None
    if data is not None:
        divided = divide_data(source, data, image_options(image), (calibration, seed), metric)
    with tracked(progress) as tracker:
        return _pruned((budget, options), source, divided, place, tracker.stages)


def _pruned(
    asked: tuple[ChannelBudget, ChannelOptions],
    source: Source,
    divided: DividedData | None,
    path: Path,
    stage: Stage,
) -> ChannelPruningResult:
    """Prune, write, measure."""
    budget, options = asked
    refuse_input_as_output(path, source.path)
    refuse_bad_weights(source.model)
    again = None if divided is None else remembered(divided.inputs)
    measure = None if budget.latency is None else _measure(source)
    done = prune(source.model, budget, options, again, measure, stage)
    changed = f"MACs {done.macs_before:,} → {done.macs_after:,}"
    write_float(
        done.model,
        source,
        path,
        reference=source.model,
        probes=random_probes(source.path, source.model),
        notes=[changed, *done.notes],
    )
    before, after = compare_latency([source.path, path], rounds=_ROUNDS, budget_s=_SECONDS)
    notes = [*source.notes, *done.notes, *_told(after)]
    accuracy, outputs = None, []
    if divided is not None:
        accuracy = divided.compare(source.path, path, partial(stage, "measuring"), slices_of(source.model))
        outputs = list(accuracy[1].outputs)
        notes = [*accuracy[1].notes, *ruin_notes(accuracy[1]), *notes]
    return ChannelPruningResult(
        path, footprint(path), footprint(source.path), done.macs_after, done.macs_before, after, before,
        done.groups, 0 if divided is None else divided.count, done.reached, notes, outputs, accuracy,
    )  # fmt: skip


def _told(latency: Latency) -> list[str]:
    """What to say where a smaller model is not surely faster here."""
    if latency.reason is not None:
        return [f"The latency could not be measured: {latency.reason}."]
    if latency.ratio_high is None or latency.ratio_high < 1:
        return []
    return ["No gain on this target: the latency on this machine is not significantly below the original's."]


def _measure(source: Source) -> Measure:
    """A function that writes a model aside and times it, interleaved with the original."""

    def ratio(model: Model) -> float:
        with scratch_folder() as folder:
            trial = Path(folder) / "trial.tflite"
            write_model(model, trial)
            _, found = compare_latency([source.path, trial], rounds=_ROUNDS, budget_s=_SECONDS)
        if found.ratio is None:
            raise RuntimeFailureError(f"The latency of a pruned model cannot be measured: {found.reason}.")
        return found.ratio

    return ratio
