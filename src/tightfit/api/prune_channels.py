"""The verb ``prune_channels``: from a float file and a budget to a smaller float file, checked on LiteRT."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from tightfit.api.measured_file import divide_data
from tightfit.api.ruin import ruin_notes
from tightfit.compression.channels.channel_groups import find_dependencies
from tightfit.compression.channels.channel_pruning import (
    ChannelBudget,
    ChannelOptions,
    GroupChange,
    Measure,
    describe,
)
from tightfit.compression.channels.channel_pruning import prune_channels as prune
from tightfit.data.cached_samples import remembered
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.slices.files import slices_of
from tightfit.evaluation.slices.quality import OutputQuality
from tightfit.files import refuse_input_as_output
from tightfit.graph.ir import Model
from tightfit.graph.writer import write_model
from tightfit.paths import check_paths
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_float
from tightfit.quantization.checking import random_probes
from tightfit.scratch import scratch_folder
from tightfit.types import Stage
from tightfit.weights.statistics import refuse_bad_weights

_ROUNDS: Final = 15
_SECONDS: Final = 8.0


@dataclass
class ChannelPruningResult:
    """A file without some of its channels.

    Args:
        path: the file. size, original_size: of it and of the model, plain and compressed.
        macs, original_macs: multiply–accumulates. latency, original_latency: measured side by side here.
        groups: what each group lost, or why it stays.
        samples: how many ranked and fitted. meets_budget: whether the budget is met. notes: what to know.
        accuracy: of the model and of the file on the samples that did not shape it (all, where none are
            left).
        outputs: quality of each output on these samples, slice by slice; empty without samples.
    """

    path: Path
    size: Footprint
    original_size: Footprint
    macs: int
    original_macs: int
    latency: Latency
    original_latency: Latency
    groups: list[GroupChange]
    samples: int
    meets_budget: bool
    notes: list[str]
    outputs: list[OutputQuality] = field(default_factory=list)
    accuracy: tuple[Accuracy, Accuracy] | None = None

    def to_json(self) -> dict[str, Any]:
        """Gives it as plain data."""
        outputs = [output.to_dict() for output in self.outputs]
        plain = asdict(replace(self, outputs=[], accuracy=None))
        plain |= {"path": str(self.path), "outputs": outputs}
        if self.accuracy is not None:
            plain["accuracy"] = [accuracy.to_dict() for accuracy in self.accuracy]
        return plain


def channel_groups(model: str | Path) -> list[dict[str, Any]]:
    """Gives the groups of channels of a model that go together, and why some must stay.

    Raises:
        ModelError: the file cannot be read, or is quantized.
    """
    return describe(find_dependencies(open_source(model).model))


def prune_channels(  # noqa: PLR0913 - a budget of three kinds, and data
    model: str | Path,
    output: str | Path,
    *,
    macs: float | None = None,
    size: int | None = None,
    latency: float | None = None,
    importance: str | None = None,
    refit: bool = True,
    multiple: int = 8,
    data: Any = None,
    image: ImageOptions | None = None,
    samples: int = 250,
    seed: int = 0,
    stage: Stage | None = None,
) -> ChannelPruningResult:
    """Writes a smaller float file without the channels that matter least.

    Args:
        macs: fraction of the multiply–accumulates to keep. size: bytes of the file. latency: fraction of the
            original's latency, measured on this machine. Exactly one of the three.
        importance: ``magnitude``, ``reconstruction`` or ``taylor``. refit: fit what is left to the data.
        multiple: a group keeps a multiple of it. data: samples without labels; at most ``samples`` are used.
        stage: hears (what, done, of).

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    check_paths({"model": model, "data": data}, {"The output": output})
    budget = ChannelBudget(macs, size, latency)
    options = ChannelOptions(importance, refit, multiple)
    source, path = open_source(model), Path(output)
    refuse_input_as_output(path, source.path)
    refuse_bad_weights(source.model)
    divided = None if data is None else divide_data(source, data, image, samples, seed)
    again = None if divided is None else remembered(divided.inputs)
    measure = None if latency is None else _measure(source)
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
        told = None if stage is None else partial(stage, "measuring")
        accuracy = divided.compare(source.path, path, told, slices_of(source.model))
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
