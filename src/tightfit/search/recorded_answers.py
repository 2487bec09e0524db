"""The float model's outputs on disk, so that candidates are compared without running it again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from tightfit.data.sample import TensorLike
from tightfit.runtime.session import Session
from tightfit.types import Array


@dataclass(frozen=True)
class Recorded:
    """The content of a recording, as it travels between machines.

    Args:
        inputs: the model's.
        outputs: see ``inputs``.
        names: of the outputs, in the order in which they were written.
        places: where each sample begins in ``data``.
        data: arrays in NumPy's format, one after another.
    """

    inputs: Sequence[TensorLike]
    outputs: Sequence[TensorLike]
    names: list[str]
    places: list[int]
    data: Array


class Recording:
    """Outputs of a model for one list of samples, in a temporary file; memory does not grow with them.

    The first evaluation runs the model; later evaluations on the same samples read the recorded outputs.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._threads = threads
        self._inputs: Sequence[TensorLike] = ()
        self._outputs: Sequence[TensorLike] = ()
        self._places: list[int] = []
        self._names: list[str] = []
        self._complete = False
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the recording

    def open(self) -> RecordedReplay:
        """Return the session for one evaluation."""
        return RecordedReplay(self)

    def live(self) -> Session | None:
        """Return a session with the model, or None when all outputs are recorded."""
        if self._complete:
            return None
        session = Session(self._path, threads=self._threads)
        self._inputs, self._outputs = session.inputs, session.outputs
        self._places = []
        return session

    @property
    def inputs(self) -> Sequence[TensorLike]:
        """The model's inputs, after it has run."""
        return self._inputs

    @property
    def outputs(self) -> Sequence[TensorLike]:
        """The model's outputs, after it has run."""
        return self._outputs

    def write(self, outputs: Mapping[str, Array]) -> None:
        """Add one sample's outputs."""
        self._places.append(self._file.seek(0, 2))
        self._names = list(outputs)
        for values in outputs.values():
            np.save(self._file, values, allow_pickle=False)

    def read(self, index: int) -> dict[str, Array]:
        """Return the outputs of one sample."""
        self._file.seek(self._places[index])
        return {name: np.load(self._file, allow_pickle=False) for name in self._names}

    def export(self) -> Recorded:
        """Return the content of a complete recording."""
        self._file.seek(0)
        data = np.frombuffer(self._file.read(), np.uint8)
        return Recorded(self._inputs, self._outputs, self._names, self._places, data)

    def extend(self, recorded: Recorded) -> None:
        """Add the outputs of the samples that follow, which another process has recorded."""
        start = self._file.seek(0, 2)
        self._file.write(recorded.data.data)
        self._places += [start + place for place in recorded.places]
        self._inputs, self._outputs, self._names = recorded.inputs, recorded.outputs, recorded.names
        self._complete = True

    def finish(self) -> None:
        """Record that the outputs of all samples are complete."""
        self._complete = True

    def close(self) -> None:
        """Close and delete the temporary file."""
        self._file.close()


class RecordedReplay:
    """A session for an evaluation: it runs and records the first time, and reads the recording later."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._session = recording.live()
        self.inputs = recording.inputs
        self.outputs = recording.outputs

    def run_many(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Yield the outputs of each sample."""
        if self._session is None:
            for index, _ in enumerate(samples):
                yield self._recording.read(index)
            return
        for outputs in self._session.run_many(samples):
            self._recording.write(outputs)
            yield outputs
        self._recording.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._session is not None:
            self._session.close()
