"""The verbs ``prune`` and ``cluster``: zeros and shared values make the file smaller, proven on LiteRT."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from tightfit.api.arguments import image_options
from tightfit.api.measured_file import divide_data
from tightfit.api.ruin import ruin_notes
from tightfit.compression.clustering import ClusteredLayer, Clusters, cluster_weights
from tightfit.compression.lookup_tables import saved_bytes
from tightfit.compression.sparsity.pruning import PrunedLayer, Pruning, prune_weights
from tightfit.compression.sparsity.sparse_storage import StoredLayer
from tightfit.compression.sparsity.xnnpack_rewrites import make_eligible
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.slices.files import refuse_unanswered, slices_of
from tightfit.evaluation.slices.quality import OutputQuality
from tightfit.files import checked_write
from tightfit.graph.ir import Model
from tightfit.graph.macs import macs
from tightfit.graph.reader import read_model
from tightfit.paths import check_paths
from tightfit.pipeline.source import open_source
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.calibration.calibrate import PROBES, Probe, calibrate
from tightfit.quantization.calibration.collect_moments import collect_moments
from tightfit.quantization.calibration.moments import Moments
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.calibration.tensor_statistics import Statistics
from tightfit.quantization.checking import random_probes
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES, find_scheme
from tightfit.types import Stage
from tightfit.weights.statistics import refuse_bad_weights, weight_facts

FLOAT: Final = "float"
Wanted = TypeVar("Wanted", Pruning, Clusters)
_ROUNDS: Final = 15
_SECONDS: Final = 8.0


@dataclass
class CompressionResult:
    """A file with zeros or shared values.

    Args:
        path: the file. size, original_size: of it and of the model, plain and compressed.
        lut_bytes: of the file in tflite-micro's look-up-table form, an estimate.
        zeros: share of zeros in the large weights. values: the most different values in one of them.
        macs: multiply–accumulates, those by zero included.
        latency: of the file and, as ``original_latency``, of the model before, measured side by side
            here, with the peak memory of each process.
        layers: what was done to each weight. stored: how each constant with many zeros is stored.
        snr_db: against the float model before, on the samples or on random inputs.
        samples: how many were used. notes: what to know.
        accuracy: of the model and of the file on the samples that did not shape it (all, where none are
            left); None without data.
        outputs: quality of each output on the samples, slice by slice; empty without samples.
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

    def to_json(self) -> dict[str, Any]:
        """Gives it as plain data: bytes, milliseconds, fractions."""
        plain = asdict(replace(self, outputs=[], accuracy=None)) | {
            "path": str(self.path),
            "snr_db": None if math.isnan(self.snr_db) else min(self.snr_db, 200.0),
            "outputs": [output.to_dict() for output in self.outputs],
        }
        if self.accuracy is not None:
            plain["accuracy"] = [accuracy.to_dict() for accuracy in self.accuracy]
        return plain


@dataclass(frozen=True)
class ShrinkOptions:
    """What both verbs take besides what is wanted of the weights.

    Args:
        scheme: ``float`` or a quantization scheme. interface: type of inputs and outputs.
        layout: ``cpu``, ``npu`` or ``micro``. data: samples; labels measure. calibration: how many shape the
            file.
        provenance: the recipe and expected answers inside the file.
    """

    scheme: str = FLOAT
    interface: str = "float32"
    layout: str = "cpu"
    data: Any = None
    image: ImageOptions | None = None
    calibration: int = 100
    seed: int = 0
    provenance: bool = True

    def __post_init__(self) -> None:
        if self.scheme not in (FLOAT, *SCHEMES):
            raise OptionError(unknown_name("scheme", self.scheme, (FLOAT, *SCHEMES)))
        if self.layout not in LAYOUTS:
            raise OptionError(unknown_name("layout", self.layout, LAYOUTS))


def prune(
    model: Any,
    output: str | Path,
    wanted: Pruning | None = None,
    options: ShrinkOptions | None = None,
    stage: Stage | None = None,
    **keywords: Any,
) -> CompressionResult:
    """Write a file with the least important weights zero, without the zeros where that makes it smaller.

    With samples a weight counts by what it contributes, and the kept weights are fitted again.

    Args:
        model: anything that ``load`` takes.
        output: the ``.tflite`` to write.
        wanted: which weights; or as keywords ``sparsity`` (a fraction), ``pattern``, ``scope``, ``skip``.
        options: how the file is made; or as keywords ``data``, ``image``, ``scheme``, ``calibration`` ….
        stage: progress callback (what, done, total); also as ``progress``.
        keywords: fields of ``Pruning`` and ``ShrinkOptions``.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.prune("model.tflite", "small.tflite", sparsity=0.8, data=x)``
    """
    wanted, options, stage = _asked("prune", Pruning, wanted, options, stage, keywords)
    work = _Work(model, Path(output), options, stage)
    pruned = prune_weights(work.source.model, wanted, work.moments(), work.told("pruning"))
    work.zeros = True
    work.adopt(pruned.model, f"pruned to {wanted.sparsity:.0%} zeros, {wanted.pattern}, by {wanted.scope}")
    work.make_eligible()
    return work.write(work.plan(), pruned.layers)


def cluster(
    model: Any,
    output: str | Path,
    wanted: Clusters | None = None,
    options: ShrinkOptions | None = None,
    stage: Stage | None = None,
    **keywords: Any,
) -> CompressionResult:
    """Write a file whose weights share few values, which compression (zip, zstd, look-up tables) finds.

    Args:
        model: anything that ``load`` takes.
        output: the ``.tflite`` to write.
        wanted: how many values; or as keywords ``clusters`` (2 to 256), ``per``, ``initial``.
        options: how the file is made; or as keywords ``data``, ``image``, ``scheme``, ``calibration`` ….
        stage: progress callback (what, done, total); also as ``progress``.
        keywords: fields of ``Clusters`` and ``ShrinkOptions``.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    if "clusters" in keywords:
        keywords["count"] = keywords.pop("clusters")
    wanted, options, stage = _asked("cluster", Clusters, wanted, options, stage, keywords)
    work = _Work(model, Path(output), options, stage)
    plan = work.plan()
    clustered = cluster_weights(work.source.model, wanted, plan)
    work.adopt(clustered.model, f"clustered to {wanted.count} values for each {wanted.per}")
    return work.write(plan, clustered.layers)


def _asked(
    verb: str,
    kind: type[Wanted],
    wanted: Wanted | None,
    options: ShrinkOptions | None,
    stage: Stage | None,
    keywords: dict[str, Any],
) -> tuple[Wanted, ShrinkOptions, Stage | None]:
    """Return what is wanted, the options and the progress callback, given as objects or as keywords.

    Raises:
        OptionError: a keyword is unknown, or nothing says what is wanted.
    """
    stage = keywords.pop("progress", stage)
    ours = {f.name for f in fields(cast("Any", kind))}
    theirs = {f.name for f in fields(ShrinkOptions)}
    for name in keywords:
        if name not in ours | theirs:
            raise OptionError(unknown_name(f"option of {verb}", name, ours | theirs | {"progress"}))
    made = {k: v for k, v in keywords.items() if k in ours}
    rest: dict[str, Any] = {
        k: image_options(v) if k == "image" else v for k, v in keywords.items() if k in theirs
    }
    if wanted is None:
        needed = next(iter(ours & {"sparsity", "count"}))
        if needed not in made:
            raise OptionError(f"Received no {needed} for {verb}; expected {needed}=… .")
        wanted = kind(**made)
    return wanted, replace(options or ShrinkOptions(), **rest), stage


class _Work:
    """A float model on its way to a smaller file."""

    def __init__(self, model: Any, output: Path, options: ShrinkOptions, stage: Stage | None) -> None:
        self.options, self.output, self.stage = options, output, stage
        check_paths({"model": model, "data": options.data}, {"The output": output})
        self.original = self.source = open_source(model)
        refuse_bad_weights(self.source.model)
        if not options.provenance:
            self.source.facts = None
        self.data = None
        if options.data is not None:
            self.data = divide_data(
                self.source, options.data, options.image, options.calibration, options.seed
            )
        self.count = 0 if self.data is None else self.data.count
        self.samples = None if self.data is None else self.data.inputs
        self.probes: list[Probe] = []
        self.notes: list[str] = list(self.source.notes)
        self.zeros = False

    def told(self, what: str) -> Callable[[int, int], None]:
        """Gives what a step calls with (done, of)."""
        return lambda done, total: None if self.stage is None else self.stage(what, done, total)

    def moments(self) -> dict[str, Moments]:
        """What every layer sees of the samples; nothing without samples."""
        if self.samples is None:
            return {}
        report, done = self.told("what the layers see"), iter(range(1, self.count + 1))
        every = make_plan(self.source.model, find_scheme("weight8"), Ranges([]))
        return collect_moments(
            self.source.model,
            every,
            self.samples(),
            progress=lambda: report(next(done, self.count), self.count),
        )

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
        seen: list[Mapping[str, Statistics]] = []
        if scheme.needs_data:
            if self.samples is None:
                raise OptionError(
                    f"The scheme '{scheme.name}' needs sample inputs to calibrate with; pass data (about 100 "
                    "samples)."
                )
            report, done = self.told("calibrating"), iter(range(1, self.count + 1))
            found = calibrate(
                self.source.model, self.samples(), progress=lambda: report(next(done, self.count), self.count)
            )
            seen.append(found.statistics)
        return make_plan(self.source.model, scheme, Ranges(seen))

    def write(self, plan: Plan | None, layers: list[Any]) -> CompressionResult:
        """Writes dense, then sparse where that is smaller, and measures."""
        self.probes = self._probes()
        with checked_write(self.output) as trial:
            snr = self._write_dense(plan, trial)
            written = write_sparse(read_model(trial), trial)
        if self.zeros:
            self.notes += written.notes
        return self._measured(layers, written.layers, snr)

    def _probes(self) -> list[Probe]:
        """Samples, or random inputs, and what the original float model makes of them."""
        if self.samples is None:
            return random_probes(self.original.path, self.original.model)
        probes = calibrate(self.original.model, islice(self.samples(), PROBES)).probes
        refuse_unanswered(self.original.model, probes)
        return probes

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
        accuracy = self._accuracy()
        outputs: list[OutputQuality] = []
        if accuracy is not None:
            outputs = list(accuracy[1].outputs)
            notes = [*accuracy[1].notes, *ruin_notes(accuracy[1]), *notes]
        return CompressionResult(
            self.output, size, original, tables, zeros, values, products, after, before, layers, stored,
            min((o.snr_db for o in outputs), default=snr), accuracy[1].n if accuracy else self.count, notes,
            outputs, accuracy,
        )  # fmt: skip

    def _accuracy(self) -> tuple[Accuracy, Accuracy] | None:
        """The model and the file on the samples that did not shape it, where there are such."""
        if self.data is None:
            return None
        slices = slices_of(self.original.model)
        return self.data.compare(self.original.path, self.output, self.told("measuring"), slices)


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
