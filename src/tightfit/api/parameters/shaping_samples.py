"""The samples that shape a smaller file and measure it, those of each signature by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tightfit.api.parameters.divided_data import DividedData, divide_data
from tightfit.api.parameters.signature_data import data_by_signature, data_of_one, signature_file
from tightfit.data.images.image_options import ImageOptions
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.slices.model_slices import refuse_unanswered, slices_of
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.graph.ir import Model
from tightfit.graph.signature_models import entry_points, signature_model
from tightfit.pipeline.signature_files import has_entry_points, named
from tightfit.pipeline.source import Source
from tightfit.quantization.calibration.calibrate import PROBES, Probe, calibrate
from tightfit.quantization.calibration.collect_moments import collect_moments
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.checking import random_probes
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.streaming.moments import Moments
from tightfit.streaming.tensor_statistics import Statistics
from tightfit.types import Stage


@dataclass
class ShapingSamples:
    """Samples by signature; the key is "" where the model has one entry point, its main graph.

    Args:
        source: the float model as it was read.
        divided: signature key → its samples; empty without data.
        stage: progress callback (what, done, total).
        several: whether signatures call several graphs.
    """

    source: Source
    divided: dict[str, DividedData] = field(default_factory=dict)
    stage: Stage | None = None
    several: bool = False

    @classmethod
    def of(
        cls,
        source: Source,
        data: Any,
        image: ImageOptions | None,
        asked: tuple[tuple[int, int], str],
        stage: Stage | None,
    ) -> ShapingSamples:
        """Open the data of a float model.

        Args:
            source: the float model.
            data: DATA, a mapping from signatures to DATA, or None.
            image: how images become arrays.
            asked: (samples that shape the file, the seed of their choice), what the others measure.
            stage: progress callback.

        Raises:
            DataError: the data does not fit the model, or is one sample only.
            OptionError: a signature is unknown.
        """
        several = has_entry_points(source.model)
        if not several:
            data = data_of_one(source.model, data)
        given = data_by_signature(source.model, data) if several else {"": data} if data is not None else {}
        parts = {k: _alone(source, k if several else "") for k in given}
        divided = {k: divide_data(parts[k], value, image, *asked) for k, value in given.items()}
        return cls(source, divided, stage, several)

    @property
    def count(self) -> int:
        """How many samples shape the file, over all signatures."""
        return sum(data.count for data in self.divided.values())

    def moments(self, model: Model) -> list[Mapping[str, Moments]]:
        """Return for each graph layer name → second moments of its input; empty without samples."""
        found: list[Mapping[str, Moments]] = [{} for _ in model.graphs]
        for key, data in self.divided.items():
            part, place = self._part(model, key)
            every = make_plan(part, find_scheme("weight8"), Ranges([]))
            progress = self._counter("what the layers see", data.count)
            found[place] = collect_moments(part, every, data.inputs(), progress=progress)
        return found

    def statistics(self, model: Model) -> list[Mapping[str, Statistics]]:
        """Return for each graph what its tensors showed; empty for those without data."""
        found: list[Mapping[str, Statistics]] = [{} for _ in model.graphs]
        for key, data in self.divided.items():
            part, place = self._part(model, key)
            progress = self._counter("calibrating", data.count)
            found[place] = calibrate(part, data.inputs(), progress=progress).statistics
        return found

    def probes(self) -> list[Probe]:
        """Return samples of the main graph, or random inputs, and what the float model makes of them."""
        first = next(iter(self.divided), None)
        main = first is not None and (not self.several or entry_points(self.source.model)[first] == 0)
        if first is None or not main:
            return random_probes(self.source.path, self.source.model)
        probes = calibrate(self.source.model, islice(self.divided[first].inputs(), PROBES)).probes
        refuse_unanswered(self.source.model, probes)
        return probes

    def compare(self, output: Path) -> tuple[dict[str, tuple[Accuracy, Accuracy]], list[OutputQuality]]:
        """Return for each signature the accuracy of model and file, and the quality of all outputs.

        Args:
            output: the file that was made of the source.

        Raises:
            DataError: the labels do not fit the outputs.
        """
        scores: dict[str, tuple[Accuracy, Accuracy]] = {}
        outputs: list[OutputQuality] = []
        for key, data in self.divided.items():
            before, after = (signature_file(p, key or None) for p in (self.source.path, output))
            slices = slices_of(self._part(self.source.model, key)[0])
            scores[key] = data.compare(before, after, self._steps("measuring"), slices)
            outputs += [named(key, q) if key else q for q in scores[key][1].outputs]
        return scores, outputs

    def _part(self, model: Model, key: str) -> tuple[Model, int]:
        """A model whose main graph is the signature's, and the place of that graph in the whole."""
        if not self.several:
            return model, 0
        part, origins = signature_model(model, key)
        return part, origins[0]

    def _steps(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: None if self.stage is None else self.stage(what, done, total)

    def _counter(self, what: str, total: int) -> Callable[[], None]:
        report, done = self._steps(what), iter(range(1, total + 1))
        return lambda: report(next(done, total), total)


def _alone(source: Source, key: str) -> Source:
    """The source of one signature, whose facts are not recorded."""
    if not key:
        return source
    return replace(source, path=signature_file(source.path, key), model=signature_model(source.model, key)[0])
