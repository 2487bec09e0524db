"""The float model's answers, kept on disk, so that each candidate is compared without running it again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from tightfit.data.sample import TensorLike
from tightfit.graph.ir import Array
from tightfit.runtime.session import Session


class Recording:
    """Outputs of a model for one list of samples, in a temporary file; memory does not grow with them.

    The first evaluation that opens it runs the model, later ones over the same samples replay its answers.
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
        """Gives the session for one evaluation."""
        return RecordedReplay(self)

    def live(self) -> Session | None:
        """Starts the model, or gives None when its answers are all here."""
        if self._complete:
            return None
        session = Session(self._path, threads=self._threads)
        self._inputs, self._outputs = session.inputs, session.outputs
        self._places = []
        return session

    @property
    def inputs(self) -> Sequence[TensorLike]:
        """The model's inputs, once it ran."""
        return self._inputs

    @property
    def outputs(self) -> Sequence[TensorLike]:
        """The model's outputs, once it ran."""
        return self._outputs

    def write(self, outputs: Mapping[str, Array]) -> None:
        """Adds one sample's outputs."""
        self._places.append(self._file.seek(0, 2))
        self._names = list(outputs)
        for values in outputs.values():
            np.save(self._file, values, allow_pickle=False)

    def read(self, index: int) -> dict[str, Array]:
        """Gives the outputs of one sample."""
        self._file.seek(self._places[index])
        return {name: np.load(self._file, allow_pickle=False) for name in self._names}

    def finish(self) -> None:
        """Notes that every sample was answered."""
        self._complete = True

    def close(self) -> None:
        """Drops the temporary file."""
        self._file.close()


class RecordedReplay:
    """What an evaluation needs of a session: live and recorded the first time, from the recording later."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._session = recording.live()
        self.inputs = recording.inputs
        self.outputs = recording.outputs

    def run_many(self, samples: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Gives the outputs of each sample."""
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
