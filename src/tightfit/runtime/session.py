"""A model running in LiteRT, in a child process of its own, because a bad kernel aborts its process."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast

from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.graph.format.mapped_files import give_back_memory
from tightfit.graph.format.temporary_files import STREAMED
from tightfit.runtime.child.child_process import Child, take, take_shared
from tightfit.runtime.child.crash import locate_crash
from tightfit.runtime.child.exchange import Exchange, Pending, Sample
from tightfit.runtime.child.memory import EMULATOR_BYTES, memory_limit, model_limit
from tightfit.runtime.child.sample_groups import SampleGroups
from tightfit.runtime.emulator import Emulator
from tightfit.runtime.input_samples import TensorSpec, fit_sample, random_sample
from tightfit.types import Array

__all__ = ["Array", "Observer", "Sample", "Session"]


_WIDEST: Final = 8
"""Bytes of the widest number."""


class Observer(Protocol):
    """Anything that looks at arrays one at a time; it must survive pickling, its class be importable."""

    def update(self, array: Array) -> None:
        """Takes in one output of one sample, a view that is only valid during the call."""
        ...


class Session:
    """A loaded model; a context manager that ends the child process on exit.

    Inputs and outputs carry the names of the signature (``serving_default``, else the first one), or the
    tensors' names, the second ``x`` as ``x#2``, in a model without signatures. Not for several threads.

    Args:
        model: a file's path, or the bytes of a model. A path is better for a big model: LiteRT maps the file.
        threads: CPU threads LiteRT may use.
        delegate: False keeps XNNPACK out, so that LiteRT's own kernels run.
        signature: the signature to run instead of the default one.
        timeout_s: the longest wait for one run before the child is given up, or None to wait forever.
        shared: True takes a thread of ``child.prepare_shared``'s process, and gives it back on exit.
        on: the emulated core that runs it; None for this computer.

    Attributes:
        inputs: what the model takes.
        outputs: what it gives.
        signatures: the keys of all its signatures.
        memory_before_load_bytes: the most the child held before the model, Python and LiteRT's code.

    Raises:
        ModelError: there is no such file, or it declares more than may be allocated. RuntimeFailureError:
        LiteRT refuses the model or dies on it.
    """

    def __init__(  # noqa: PLR0913 - the options of a session
        self,
        model: str | Path | bytes,
        *,
        threads: int = 1,
        delegate: bool = True,
        signature: str | None = None,
        timeout_s: float | None = 600.0,
        shared: bool = False,
        on: Emulator | None = None,
    ) -> None:
        name = "the model" if isinstance(model, bytes) else f"'{model}'"
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise ModelError(f"There is no model file {name}; expected the path of a .tflite file.")
        if not isinstance(model, bytes):
            model = Path(model).absolute()  # a child that was started ahead may be in another folder
            if model.stat().st_size > STREAMED:
                give_back_memory()  # the child needs it next
        options = {"threads": threads, "delegate": delegate, "signature": signature}
        # The op is looked for on this computer, which may compute what an emulated one does not.
        locate = partial(locate_crash, model, **options) if on is None else _no_place  # type: ignore[arg-type]
        limit = model_limit(model, threads)
        child = _child(on, limit, shared=shared)
        # Sessions of one process load one model each.
        limit = None if limit is None else limit * child.sharers
        child.limit_bytes = limit
        self._exchange = Exchange(child, name, timeout_s, locate)
        facts = self._load(model, options | {"memory_bytes": limit})
        self.inputs = tuple(TensorSpec(**spec) for spec in facts["inputs"])
        self.outputs = tuple(TensorSpec(**spec) for spec in facts["outputs"])
        self.signatures: tuple[str, ...] = tuple(facts["signatures"])
        self.memory_before_load_bytes = int(facts["memory_before_bytes"])

    def _load(self, model: str | Path | bytes, options: Mapping[str, Any]) -> dict[str, Any]:
        """Facts of the model, sent by the child after it loaded the file."""
        try:
            if not isinstance(model, bytes):
                return cast(
                    "dict[str, Any]", self._exchange.ask("load", "loading", path=str(model), **options)
                )
            # A file that LiteRT maps costs one copy of the model, its bytes in a pipe would cost three.
            with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
                file.write(model)
                file.flush()
                return cast(
                    "dict[str, Any]", self._exchange.ask("load", "loading", path=file.name, **options)
                )
        except RuntimeFailureError:
            self.close()
            raise

    def run(self, inputs: Sample) -> dict[str, Array]:
        """Return the outputs of one sample by name.

        Raises:
            DataError: a name, dtype or shape does not fit. RuntimeFailureError: LiteRT refuses or dies.
        """
        sample = fit_sample(inputs, self.inputs)
        pending = self._exchange.send("run", "running", [sample], inputs=sample)
        return cast("dict[str, Array]", self._exchange.wait(pending))

    def run_many(self, samples: Iterable[Sample]) -> Iterator[dict[str, Array]]:
        """Return the outputs of each sample in turn; the next are sent while the child computes.

        Small samples that run fast go in groups, up to 64 at once.

        Raises:
            DataError: a name, dtype or shape does not fit. RuntimeFailureError: LiteRT refuses or dies.
        """
        return self._stream("run", samples)

    def time(self, runs: int, warmup: int = 0, inputs: Sample | None = None) -> list[float]:
        """Return the milliseconds of each of ``runs`` invocations, measured in the child around LiteRT only.

        Args:
            runs: how many to time.
            warmup: how many to run before, untimed.
            inputs: the sample; random within each input's range unless given.
        """
        sample = fit_sample(inputs, self.inputs) if inputs is not None else random_sample(self.inputs)
        arguments = {"inputs": sample, "runs": runs, "warmup": warmup}
        pending = self._exchange.send("time", "running", [sample], calls=runs + warmup, **arguments)
        return cast("list[float]", self._exchange.wait(pending))

    def observe(self, samples: Iterable[Sample], observers: Mapping[str, Observer]) -> dict[str, Any]:
        """Return the observers back after they saw their outputs for every sample, without copying an output.

        Args:
            samples: see ``run_many``.
            observers: by output: its name, a graph output's tensor name, or ``#3`` for the graph's output 3
                (tensor names need not be unique, positions are).

        Raises:
            DataError: a sample does not fit, or an output does not exist.
            RuntimeFailureError: LiteRT or an observer fails.
        """
        limit = memory_limit()  # what observers keep is no part of what the file declares
        self._exchange.ask("watch", "preparing", observers=dict(observers), memory_bytes=limit)
        for _ in self._stream("see", samples):
            pass
        return cast("dict[str, Any]", self._exchange.ask("observed", "finishing"))

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory the child ever held, mapped pages of the model file and Python included."""
        return int(self._exchange.ask("memory", "measuring"))

    def close(self) -> None:
        """Ends the child process, or gives back a thread of a shared one; may be called twice."""
        self._exchange.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stream(self, verb: str, samples: Iterable[Sample]) -> Iterator[Any]:
        """The replies in turn, one request ahead of the reply that is waited for."""
        answered = sum(math.prod(spec.shape) * _WIDEST for spec in self.outputs)
        groups = SampleGroups((fit_sample(inputs, self.inputs) for inputs in samples), answered)
        pending: Pending | None = None
        for group in groups:
            following = self._exchange.send(
                "each", "running", group, calls=len(group), action=verb, batch=group
            )
            if pending is not None:
                yield from self._answers(pending, groups)
            pending = following
        if pending is not None:
            yield from self._answers(pending, groups)

    def _answers(self, pending: Pending, groups: SampleGroups) -> list[Any]:
        answers, seconds = self._exchange.wait(pending)
        groups.took(seconds)
        return cast("list[Any]", answers)


def _child(on: Emulator | None, limit: int | None, *, shared: bool) -> Child:
    if on is not None:
        # An emulator leaves out the limit that the program in it asks for, so its own process has it.
        return Child(
            interpreter=on.interpreter(), memory_bytes=None if limit is None else limit + EMULATOR_BYTES
        )
    return take_shared() if shared else take()


def _no_place(sample: Sample | None) -> None:
    del sample
