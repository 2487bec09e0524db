"""What ``prune`` and ``cluster`` return."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tightfit.api.results.compressed_file import CompressedFile
from tightfit.compression.clustering import ClusteredLayer
from tightfit.compression.sparsity.pruning import PrunedLayer
from tightfit.compression.sparsity.sparse_storage import StoredLayer
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.footprint import Footprint
from tightfit.evaluation.latency import Latency
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.result import Row
from tightfit.units import format_percent


@dataclass(frozen=True, repr=False)
class CompressionResult(CompressedFile):
    """A file with zeros or shared values.

    Args:
        path: the file.
        size: bytes of the file, plain and compressed.
        original_size: the same of the model before.
        lut_bytes: of the file in tflite-micro's look-up-table form, an estimate.
        zeros: share of zeros in the large weights.
        values: the largest number of distinct values in one tensor.
        macs: multiply–accumulates, those by zero included.
        latency: of the file, in ms, measured in turns with the model before; with the peak memory of the
            process.
        original_latency: the same of the model before.
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
        clustered = any(isinstance(layer, ClusteredLayer) for layer in self.layers)
        done = f"{self.values} values a tensor" if clustered else f"{format_percent(self.zeros, 0)} zeros"
        return f"CompressionResult('{self.path}', {after:,} bytes of {before:,}, {done})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return sizes and latency of the model and of the file."""
        sizes = [(n, getattr(self.original_size, n), getattr(self.size, n)) for n in vars(self.size)]
        return ("", "model", "file"), [
            *sizes, ("latency_ms", self.original_latency.median_ms, self.latency.median_ms),
        ]  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """Return plain data: bytes, milliseconds, fractions."""
        plain = asdict(replace(self, outputs=[], accuracy=None, signatures={})) | {
            "path": str(self.path),
            "ruined": self.ruined,
            "snr_db": None if math.isnan(self.snr_db) else min(self.snr_db, 200.0),
        }
        plain |= self.quality()
        plain["signatures"] = {k: [a.to_dict() for a in pair] for k, pair in self.signatures.items()}
        return plain
