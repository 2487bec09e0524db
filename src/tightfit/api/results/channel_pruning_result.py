"""What ``prune_channels`` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tightfit.api.results.compressed_file import CompressedFile
from tightfit.compression.channels.channel_pruning import GroupChange
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.footprint import Footprint
from tightfit.evaluation.latency import Latency
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.result import Row


@dataclass(frozen=True, repr=False)
class ChannelPruningResult(CompressedFile):
    """A file without some of its channels.

    Args:
        path: the file.
        size: bytes of the file, plain and compressed.
        original_size: the same of the model before.
        macs: multiply–accumulates of the file.
        original_macs: those of the model before.
        latency: of the file, in ms, measured in turns with the model before.
        original_latency: of the model before.
        groups: what each group lost, or why it stays.
        samples: how many ranked and fitted.
        meets_budget: whether the budget is met.
        notes: what to know.
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

    def headline(self) -> str:
        """Return the MACs against the model's."""
        return f"ChannelPruningResult('{self.path}', {self.macs:,} MACs of {self.original_macs:,})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return what each group kept."""
        rows = [(g.name, g.channels, g.kept, g.frozen or "") for g in self.groups]
        return ("group", "channels", "kept", "why it stays"), rows

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        plain = asdict(replace(self, outputs=[], accuracy=None))
        return plain | {"path": str(self.path)} | self.quality()
