"""The verbs ``prune`` and ``cluster``: zeros and shared values make the file smaller, proven on LiteRT."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.shaping_samples import ShapingSamples
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.ruin import is_ruined, ruin_notes
from tightfit.compression.clustering import ClusteredLayer, Clusters, cluster_weights
from tightfit.compression.lookup_tables import saved_bytes
from tightfit.compression.sparsity.pruning import PrunedLayer, Pruning, prune_weights
from tightfit.compression.sparsity.sparse_storage import StoredLayer
from tightfit.compression.sparsity.xnnpack_rewrites import make_eligible
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.accuracy import Accuracy, wanted_metrics
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.slices.quality import OutputQuality
from tightfit.files import checked_write
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.source import open_source
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES, find_scheme
from tightfit.result import Result, Row
from tightfit.spoken import verb
from tightfit.types import Stage
from tightfit.weights.patterns import UNSTRUCTURED
from tightfit.weights.statistics import refuse_bad_weights, weight_facts

FLOAT: Final = "float"
_ROUNDS: Final = 15
_SECONDS: Final = 8.0


@dataclass(frozen=True, repr=False)
class CompressionResult(Result):
    """A file with zeros or shared values.

    Args:
        path: the file. size, original_size: of it and of the model, plain and compressed.
        lut_bytes: of the file in tflite-micro's look-up-table form, an estimate.
        zeros: share of zeros in the large weights.
        values: the most different values in one of them.
        macs: multiply–accumulates, those by zero included.
        latency: of the file and, as ``original_latency``, of the model before, measured side by side here,
            with the peak memory of each process.
        layers: what was done to each weight.
        stored: how each constant with many zeros is stored.
        snr_db: against the float model before, on the samples or on random inputs.
        samples: how many were used.
        notes: what to know.
        accuracy: of the model and of the file on the samples that did not shape it (all, where none are
            left); None without data.
        outputs: quality of each output on the samples, slice by slice; empty without samples.
        signatures: accuracy by signature, where several have data; ``accuracy`` is that of the first.
    """

    path: Path
    size: Footprint
    original_size: Footprint
    lut_bytes: int
    zeros: float
    values: int
    macs: int
    latency: Latency
    original_latency: Latency
    layers: list[PrunedLayer] | list[ClusteredLayer]
    stored: list[StoredLayer]
    snr_db: float
    samples: int
    notes: list[str] = field(default_factory=list)
    outputs: list[OutputQuality] = field(default_factory=list)
    accuracy: tuple[Accuracy, Accuracy] | None = None
    signatures: dict[str, tuple[Accuracy, Accuracy]] = field(default_factory=dict)

    def headline(self) -> str:
        """Return the size against the model's."""
        before, after = self.original_size.size_bytes, self.size.size_bytes
        return f"CompressionResult('{self.path}', {after:,} bytes of {before:,}, {self.zeros:.0%} zeros)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return sizes and latency of the model and of the file."""
        sizes = [(n, getattr(self.original_size, n), getattr(self.size, n)) for n in vars(self.size)]
        return ("", "model", "file"), [
            *sizes, ("latency_ms", self.original_latency.median_ms, self.latency.median_ms),
        ]  # fmt: skip

    @property
    def ruined(self) -> bool:
        """Whether the file lost what nobody ships unasked; the notes say what."""
        return is_ruined(self.accuracy[1] if self.accuracy else None, self.outputs)

    def to_json(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()

    def to_dict(self) -> dict[str, object]:
        """Return plain data: bytes, milliseconds, fractions."""
        plain = asdict(replace(self, outputs=[], accuracy=None, signatures={})) | {
            "path": str(self.path),
            "ruined": self.ruined,
            "snr_db": None if math.isnan(self.snr_db) else min(self.snr_db, 200.0),
            "outputs": [output.to_dict() for output in self.outputs],
        }
        if self.accuracy is not None:
            plain["accuracy"] = [accuracy.to_dict() for accuracy in self.accuracy]
        plain["signatures"] = {k: [a.to_dict() for a in pair] for k, pair in self.signatures.items()}
        return plain


@dataclass(frozen=True)
class ShrinkOptions:
    """What both verbs take besides what is wanted of the weights.

    Args:
        scheme: ``float`` or a quantization scheme.
        interface: type of inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``.
        data: samples, or signature key → samples; labels measure.
        calibration: how many shape the file.
        provenance: the recipe and expected answers inside the file.
        metric: what the samples measure, see ``evaluate``.
    """

    scheme: str = FLOAT
    interface: str = "float32"
    layout: str = "cpu"
    data: DataLike | None = None
    image: ImageOptions | None = None
    calibration: int = 100
    seed: int = 0
    provenance: bool = True
    metric: str = "auto"

    def __post_init__(self) -> None:
        wanted_metrics(self.metric)
        if self.scheme not in (FLOAT, *SCHEMES):
            raise OptionError(unknown_name("scheme", self.scheme, (FLOAT, *SCHEMES)))
        if self.layout not in LAYOUTS:
            raise OptionError(unknown_name("layout", self.layout, LAYOUTS))


@verb(interface="io", stage="progress")
def prune(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    output: Pathlike | None = None,
    wanted: Pruning | None = None,
    options: ShrinkOptions | None = None,
    stage: ProgressLike = None,
    *,
    sparsity: float | None = None,
    pattern: str = UNSTRUCTURED,
    scope: str = "file",
    skip: Sequence[str] = (),
    data: DataLike | None = None,
    image: Image = None,
    scheme: str | None = None,
    io: str | None = None,
    layout: str | None = None,
    calibration: int | None = None,
    provenance: bool | None = None,
    metric: str | None = None,
    seed: int | None = None,
    progress: ProgressLike = None,
) -> CompressionResult:
    """Write a file with the least important weights zero, without the zeros where that makes it smaller.

    With samples a weight counts by what it contributes, and the kept weights are fitted again. Whole channels
    are removed by ``prune_channels``.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        wanted: the next four as one object.
        options: the options that prune and cluster share, as one object.
        stage: ``progress``, in its place of an earlier release.
        sparsity: fraction of zeros in the pruned weights, between 0 and 1.
        pattern: ``unstructured``, N:M such as 2:4, or blocks such as 1x4.
        scope: ``file``: all weights in tensors of 256 elements or more have the sparsity; ``layer``: each
            pruned layer; ``global``: the pruned layers together.
        skip: names or kinds of ops that are not pruned.
        data: samples, or signature key → samples; labels measure.
        image: how image files become arrays.
        scheme: ``float`` or a quantization scheme of the file.
        io: type of the model's inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``.
        calibration: samples that shape the file, 100 by default.
        provenance: store the recipe and the expected outputs in the file, on by default.
        metric: what the other samples measure, see ``evaluate``.
        seed: of the split.
        progress: see ``tightfit.Progress``.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.prune("model.tflite", "small.tflite", sparsity=0.8, data=x)``
    """
    if wanted is None:
        if sparsity is None:
            raise OptionError("Received no sparsity for prune; expected a fraction, such as sparsity=0.8.")
        wanted = Pruning(sparsity, pattern, scope, tuple(skip))
    chosen = _options(options, data, image, scheme, (io, layout, calibration, provenance, seed, metric))
    with tracked(stage if progress is None else progress) as tracker:
        work = _Work(model, output, chosen, tracker.stages)
        moments = work.samples.moments(work.source.model)
        pruned = prune_weights(work.source.model, wanted, moments, work.told("pruning"))
        work.zeros = True
        work.adopt(
            pruned.model, f"pruned to {wanted.sparsity:.0%} zeros, {wanted.pattern}, by {wanted.scope}"
        )
        work.make_eligible()
        return work.write(work.plan(), pruned.layers)


@verb(interface="io", stage="progress", count="clusters")
def cluster(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    output: Pathlike | None = None,
    wanted: Clusters | None = None,
    options: ShrinkOptions | None = None,
    stage: ProgressLike = None,
    *,
    clusters: int | None = None,
    per: str = "tensor",
    initial: str = "kmeans++",
    data: DataLike | None = None,
    image: Image = None,
    scheme: str | None = None,
    io: str | None = None,
    layout: str | None = None,
    calibration: int | None = None,
    provenance: bool | None = None,
    metric: str | None = None,
    seed: int | None = None,
    progress: ProgressLike = None,
) -> CompressionResult:
    """Write a file whose weights share few values, which compression (zip, zstd, look-up tables) finds.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        wanted: the next three as one object.
        options: the options that prune and cluster share, as one object.
        stage: ``progress``, in its place of an earlier release.
        clusters: distinct values a tensor (or a channel), 2 to 256.
        per: ``tensor`` or ``channel``.
        initial: centroid initialization: ``kmeans++``, ``linear`` or ``density``.
        data: samples, or signature key → samples; labels measure.
        image: how image files become arrays.
        scheme: ``float`` or a quantization scheme of the file.
        io: type of the model's inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``.
        calibration: samples that shape the file, 100 by default.
        provenance: store the recipe and the expected outputs in the file, on by default.
        metric: what the other samples measure, see ``evaluate``.
        seed: of the split.
        progress: see ``tightfit.Progress``.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    if wanted is None:
        if clusters is None:
            raise OptionError("Received no number of clusters; expected 2 to 256, such as clusters=16.")
        wanted = Clusters(clusters, per, initial)
    chosen = _options(options, data, image, scheme, (io, layout, calibration, provenance, seed, metric))
    with tracked(stage if progress is None else progress) as tracker:
        work = _Work(model, output, chosen, tracker.stages)
        plan = work.plan()
        clustered = cluster_weights(work.source.model, wanted, plan)
        work.adopt(clustered.model, f"clustered to {wanted.count} values for each {wanted.per}")
        return work.write(plan, clustered.layers)


def _options(
    options: ShrinkOptions | None,
    data: DataLike | None,
    image: Image,
    scheme: str | None,
    rest: tuple[str | None, str | None, int | None, bool | None, int | None, str | None],
) -> ShrinkOptions:
    """Return the options of an object with what keywords say; ``rest``: the last six fields' keywords."""
    names = ("interface", "layout", "calibration", "provenance", "seed", "metric")
    given: dict[str, Any] = {"data": data, "image": image_options(image), "scheme": scheme}
    given |= dict(zip(names, rest, strict=True))
    return replace(options or ShrinkOptions(), **{k: v for k, v in given.items() if v is not None})


class _Work:
    """A float model on its way to a smaller file."""

    def __init__(
        self, model: ModelLike, output: Pathlike | None, options: ShrinkOptions, stage: Stage | None
    ) -> None:
        self.options, self.stage = options, stage
        self.output = temporary_place(label_of(model)) if output is None else Path(output)
        check_paths({"model": model, "data": options.data}, {"The output": self.output})
        self.original = self.source = open_source(model)
        refuse_bad_weights(self.source.model)
        if not options.provenance:
            self.source.facts = None
        asked = (options.calibration, options.seed), options.metric
        self.samples = ShapingSamples.of(self.source, options.data, options.image, asked, stage)
        self.probes: list[Probe] = []
        self.notes: list[str] = list(self.source.notes)
        self.zeros = False

    def told(self, what: str) -> Callable[[int, int], None]:
        """Return what a step calls with (done, of)."""
        return lambda done, total: None if self.stage is None else self.stage(what, done, total)

    def adopt(self, model: Model, step: str) -> None:
        """Goes on with changed weights."""
        facts = self.source.facts
        facts = None if facts is None else {**facts, "steps": [*facts.get("steps", ()), step]}
        self.source = replace(self.source, model=model, facts=facts)

    def make_eligible(self) -> None:
        """Rewrites a pruned model so that XNNPACK can skip its zeros where that is exact; says why not."""
        name, layout = self.options.scheme, self.options.layout
        if layout != "cpu" or (name != FLOAT and SCHEMES[name].compute != "float"):
            return
        found = make_eligible(self.source.model)
        if found.eligible:
            self.adopt(found.model, "rewritten for XNNPACK's sparse inference")
        self.notes.append(found.sentence())

    def plan(self) -> Plan | None:
        """How the weights as they are now will be stored, None for float."""
        if self.options.scheme == FLOAT:
            return None
        scheme = find_scheme(self.options.scheme, self.options.interface)
        if not scheme.needs_data:
            return make_plan(self.source.model, scheme, Ranges([]))
        if not self.samples.count:
            raise OptionError(
                f"The scheme '{scheme.name}' needs sample inputs to calibrate with; pass data (about 100 "
                "samples)."
            )
        return make_plan(self.source.model, scheme, Ranges(self.samples.statistics(self.source.model)))

    def write(self, plan: Plan | None, layers: list[Any]) -> CompressionResult:
        """Writes dense, then sparse where that is smaller, and measures."""
        self.probes = self.samples.probes()
        with checked_write(self.output) as trial:
            snr = self._write_dense(plan, trial)
            written = write_sparse(read_model(trial), trial)
        if self.zeros:
            self.notes += written.notes
        return self._measured(layers, written.layers, snr)

    def _write_dense(self, plan: Plan | None, path: Path) -> float:
        reference = replace(self.original, facts=self.source.facts)
        if plan is not None:
            changed = replace(reference, model=self.source.model)
            written = write_plan(changed, plan, path, layout=self.options.layout, probes=self.probes)
            self.notes += written.notes
            return written.snr_db
        check = write_float(
            self.source.model, self.source, path, reference=self.original.model, probes=self.probes
        )
        return check.snr_db

    def _measured(self, layers: list[Any], stored: list[StoredLayer], snr: float) -> CompressionResult:
        before, after = compare_latency([self.original.path, self.output], rounds=_ROUNDS, budget_s=_SECONDS)
        size, original = footprint(self.output), footprint(self.original.path)
        zeros, values = weight_facts(self.output)
        products = sum(macs(op) for graph in self.source.model.graphs for op in graph.ops)
        tables = size.size_bytes - saved_bytes(read_model(self.output))
        notes = [*self.notes, *gains(size, original, after)]
        scores, outputs = self.samples.compare(self.output)
        for key, pair in reversed(scores.items()):
            said = [*pair[1].notes, *ruin_notes(pair[1])]
            notes = [*(f"{key}: {note}" if key else note for note in said), *notes]
        accuracy = next(iter(scores.values()), None)
        return CompressionResult(
            self.output, size, original, tables, zeros, values, products, after, before, layers, stored,
            min((o.snr_db for o in outputs), default=snr), accuracy[1].n if accuracy else 0, notes,
            outputs, accuracy, scores if len(scores) > 1 else {},
        )  # fmt: skip


def gains(size: Footprint, original: Footprint, latency: Latency) -> list[str]:
    """Says in so many words where nothing is gained."""
    notes = []
    if size.size_bytes >= original.size_bytes:
        notes.append("No gain in bytes on disk: the file is no smaller; only compressed it may be.")
    if size.zip_bytes >= original.zip_bytes:
        notes.append("No gain in bytes compressed.")
    if latency.reason is not None:
        notes.append(f"The latency could not be measured: {latency.reason}.")
    elif latency.ratio_high is not None and latency.ratio_high >= 1:
        notes.append(
            "No gain on this target: the latency on this machine is not significantly below the original's."
        )
    return notes
