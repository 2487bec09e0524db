"""What a worker process keeps of an evaluation between its tasks, and the tasks themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.distributed.artifacts import Artifact, local_file
from tightfit.distributed.context import named_data, plain_data
from tightfit.evaluation.accuracy import PROBES, understand
from tightfit.evaluation.metrics.spelling import Wanted
from tightfit.evaluation.scoring import Scored, score_shard
from tightfit.evaluation.task import Tasks
from tightfit.streaming.slice_axes import Slices


@dataclass(frozen=True)
class Evaluated:
    """What is evaluated.

    Args:
        data: as the user gave it.
        image: how images become arrays.
        inputs: of the first model.
        outputs: of the first model.
        metrics: what is measured.
        indices: the samples, ascending.
        slices: of the outputs.
    """

    data: Any
    image: ImageOptions | None
    inputs: Sequence[InputSpec]
    outputs: Sequence[str]
    metrics: Sequence[Wanted]
    indices: Sequence[int]
    slices: Slices | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """One evaluation, as its workers get it.

    Args:
        key: identifies the evaluation.
        models: the first is the reference.
        evaluated: with data and metrics as a worker opens them.
        versions: of the driver.
        fetch: returns the content of a reference.
    """

    key: str
    models: Sequence[Artifact]
    evaluated: Evaluated
    versions: Mapping[str, str]
    fetch: Callable[[Any], Any] = field(repr=False)


class EvaluationBench:
    """An evaluation in one worker process; its public methods are the kinds of tasks."""

    def __init__(self, context: EvaluationContext) -> None:
        self.asked = context.evaluated
        self.paths = [local_file(model, context.fetch) for model in context.models]
        self.dataset = _opened(self.asked)

    def tasks(self) -> Tasks:
        """Return what is measured, from the first model's first answers."""
        metrics = list(self.asked.metrics)
        return understand(self.paths[0], self.dataset, self.asked.indices, metrics, PROBES)

    def shard(self, tasks: Tasks, first: int, end: int) -> Scored:
        """Return the scores of all models on a shard."""
        chosen = self.asked.indices[first:end]
        return score_shard(self.paths, self.dataset, chosen, tasks, first=first, slices=self.asked.slices)


def _opened(asked: Evaluated) -> Dataset:
    dataset = open_data(plain_data(asked.data), image=asked.image, inputs=asked.inputs, outputs=asked.outputs)
    return named_data(dataset, asked.data)
