"""Several models answering the same stream of samples, each in a lane of its own.

Each sample is read once. A lane sends the next sample before it waits for an answer, so the models compute
side by side; a lane that fails stays silent, the others go on.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Label, Sample, TensorLike
from tightfit.errors import TightfitError
from tightfit.evaluation.output_matching import match_outputs, real_outputs
from tightfit.runtime.session import Session
from tightfit.types import Array

Outputs = dict[str, Array]


class Answering(Protocol):
    """What a lane needs of a session: ``runtime.Session`` has it, and so has a recording of one."""

    @property
    def inputs(self) -> Sequence[TensorLike]: ...  # noqa: D102 - see Session

    @property
    def outputs(self) -> Sequence[TensorLike]: ...  # noqa: D102 - see Session

    def run_many(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[Outputs]: ...  # noqa: D102 - see Session

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


Runnable = str | Path | bytes | Callable[[], Answering]


@dataclass(frozen=True)
class RunRound:
    """One sample's labels with every model's outputs, the reference's first, None for one that failed."""

    label: Label | None
    reference: Outputs
    answers: tuple[Outputs | None, ...]
    labels: Mapping[str, Label] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)


class ModelRun:
    """One model: a file, the bytes of one, or a function that opens a session.

    Attributes:
        outputs: the specs of its outputs, once it runs.
        failure: why it fell silent, or None.
    """

    def __init__(self, model: Runnable, threads: int) -> None:
        self._model = model
        self._threads = threads
        self.outputs: Sequence[TensorLike] = ()
        self.failure: str | None = None

    def answer(self, samples: Iterator[Sample], reference: ModelRun) -> Generator[Outputs, None, None]:
        """The outputs for each sample as real numbers, named as the reference's; raises what goes wrong."""
        with self._open() as session:
            self.outputs = session.outputs
            names = match_outputs(reference.outputs, self.outputs)
            inputs = (adapt_inputs(sample, session.inputs) for sample in samples)
            for outputs in session.run_many(inputs):
                yield real_outputs(outputs, self.outputs, names)

    def try_answer(
        self, samples: Iterator[Sample], reference: ModelRun
    ) -> Generator[Outputs | None, None, None]:
        """The same without end: None for every sample after a failure, which is noted."""
        try:
            yield from self.answer(samples, reference)
        except TightfitError as error:
            self.failure = str(error)
        yield from (None for _ in samples)  # a copy of a stream that nobody reads would pile up
        yield from itertools.repeat(None)

    def _open(self) -> Answering:
        return self._model() if callable(self._model) else Session(self._model, threads=self._threads)


def run_side_by_side(samples: Iterator[Sample], runs: Sequence[ModelRun]) -> Generator[RunRound, None, None]:
    """The answers of all runs, sample by sample; the first lane is the reference and must not fail.

    Raises:
        TightfitError: what the samples or the reference raise.
    """
    own, for_reference, *copies = _fan_out(samples, len(runs) + 1)
    with ExitStack() as stack:
        reference = stack.enter_context(closing(runs[0].answer(for_reference, runs[0])))
        others = [
            stack.enter_context(closing(lane.try_answer(copy, runs[0])))
            for lane, copy in zip(runs[1:], copies, strict=True)
        ]
        # The reference comes first: it meets every bad sample before the others do, and its end is the end.
        for first, sample, *rest in zip(reference, own, *others, strict=False):
            yield RunRound(sample.label, first, (first, *rest), sample.labels, sample.whole)


def _fan_out(samples: Iterator[Sample], count: int) -> list[Iterator[Sample]]:
    """Iterators over the same samples that hold only what some have taken and others have not.

    ``itertools.tee`` frees what it holds in blocks of 57, which is a lot of memory for photos.
    """
    queues = [deque[Sample]() for _ in range(count)]

    def branch(own: deque[Sample]) -> Iterator[Sample]:
        while True:
            if not own:
                try:
                    sample = next(samples)
                except StopIteration:
                    return
                for queue in queues:
                    queue.append(sample)
            yield own.popleft()

    return [branch(queue) for queue in queues]
