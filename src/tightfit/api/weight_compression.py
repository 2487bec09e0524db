"""A float model on its way to a file with zeros or shared values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightfit.api.parameters.shaping_samples import ShapingSamples
from tightfit.api.parameters.shrink_options import FLOAT, ShrinkOptions
from tightfit.api.results.compression_result import CompressionResult
from tightfit.api.results.ruin import ruin_notes
from tightfit.compression.lookup_tables import saved_bytes
from tightfit.compression.sparsity.sparse_storage import StoredLayer
from tightfit.compression.sparsity.xnnpack_rewrites import make_eligible
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.data.sources import check_data
from tightfit.errors import OptionError
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.files import checked_write
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.summary import summary
from tightfit.kinds import ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.source import open_source
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.pipeline.training_start import training_start
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES, find_scheme
from tightfit.types import Stage
from tightfit.weights.statistics import refuse_bad_weights, weight_facts

_ROUNDS: Final = 15


_SECONDS: Final = 8.0


class WeightCompression:
    """A float model on its way to a smaller file."""

    def __init__(
        self, model: ModelLike, output: Pathlike | None, options: ShrinkOptions, stage: Stage | None
    ) -> None:
        self.options, self.stage = options, stage
        self.output = temporary_place(label_of(model)) if output is None else Path(output)
        check_paths({"model": model, "data": options.data}, {"The output": self.output})
        check_data(options.data)
        self.original = self.source = open_source(model)
        refuse_bad_weights(self.source.model)
        if not options.provenance:
            self.source.facts = None
        asked = (options.calibration, options.seed), options.metric
        self.samples = ShapingSamples.of(self.source, options.data, options.image, asked, stage)
        self.probes: list[Probe] = []
        self.notes: list[str] = list(self.source.notes)
        self.zeros = False

    def steps(self, what: str) -> Callable[[int, int], None]:
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
        """Return how the present weights will be stored, with the remedies of ``quantize``; None for float.

        A remedy may add ops to the model or change its biases.
        """
        if self.options.scheme == FLOAT:
            return None
        scheme = find_scheme(self.options.scheme, self.options.interface)
        if not scheme.needs_data:
            return make_plan(self.source.model, scheme, Ranges([]))
        if not self.samples.count:
            raise OptionError(
                f"The scheme '{scheme.name}' needs sample inputs to calibrate with; pass --data (about 100 "
                "samples)."
            )
        if self.samples.several:
            return make_plan(self.source.model, scheme, Ranges(self.samples.statistics(self.source.model)))
        samples = next(iter(self.samples.divided.values())).inputs
        model, plan = training_start(self.source.model, scheme, samples, False, self.options.layout)
        self.source = replace(self.source, model=model)
        return plan

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
            changed = replace(reference, model=self.source.model, reference=self.original.model)
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
        products = summary(self.source.model)["macs"]
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
    """Return a sentence for each of size, compressed size and latency that does not gain."""
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
