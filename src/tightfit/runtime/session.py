"""A model running in LiteRT, in a child process of its own, because a bad kernel aborts its process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol, Self, cast

import numpy.typing as npt

from tightfit.errors import DataError, ModelError, RuntimeFailureError
from tightfit.runtime.child import take
from tightfit.runtime.crash import locate_crash
from tightfit.runtime.samples import TensorSpec, fit_sample, random_sample

Array = npt.NDArray[Any]
Sample = Mapping[str, Array]


class Observer(Protocol):
    """Anything that looks at arrays one at a time; it must survive pickling, its class be importable."""

    def update(self, array: Array) -> None:
        """Takes in one output of one sample, a view that is only valid during the call."""
        ...


@dataclass(frozen=True)
class _Pending:
    """A request that was sent: its place in the line of replies, and what to say if the child dies in it."""

    ticket: int
    doing: str
    sample: Sample | None
    timeout_s: float | None


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

    Raises:
        ModelError: there is no such file. RuntimeFailureError: LiteRT refuses the model or dies on it.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        threads: int = 1,
        delegate: bool = True,
        signature: str | None = None,
        timeout_s: float | None = 600.0,
    ) -> None:
        self._model = model
        self._options: dict[str, Any] = {"threads": threads, "delegate": delegate, "signature": signature}
        self._timeout_s = timeout_s
        self._name = "the model" if isinstance(model, bytes) else f"'{model}'"
        self._sent = self._received = 0
        self._replies: dict[int, tuple[str, Any]] = {}
        self._end: str | None = None
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise ModelError(f"There is no model file {self._name}; expected the path of a .tflite file.")
        self._child = take()
        facts = self._load(model)
        self.inputs = tuple(TensorSpec(**spec) for spec in facts["inputs"])
        self.outputs = tuple(TensorSpec(**spec) for spec in facts["outputs"])
        self.signatures: tuple[str, ...] = tuple(facts["signatures"])
        self.memory_before_load_bytes = int(facts["memory_before_bytes"])

    def _load(self, model: str | Path | bytes) -> dict[str, Any]:
        """What the child tells of the model after it loaded it."""
        try:
            if not isinstance(model, bytes):
                return cast(dict[str, Any], self._ask("load", "loading", path=str(model), **self._options))
            # A file that LiteRT maps costs one copy of the model, its bytes in a pipe would cost three.
            with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
                file.write(model)
                file.flush()
                return cast(dict[str, Any], self._ask("load", "loading", path=file.name, **self._options))
        except RuntimeFailureError:
            self.close()
            raise

    # -- running -------------------------------------------------------------------------------

    def run(self, inputs: Sample) -> dict[str, Array]:
        """Gives the outputs of one sample by name.

        Raises:
            DataError: a name, dtype or shape does not fit. RuntimeFailureError: LiteRT refuses or dies.
        """
        sample = fit_sample(inputs, self.inputs)
        return cast(dict[str, Array], self._ask("run", "running", sample=sample, inputs=sample))

    def run_many(self, samples: Iterable[Sample]) -> Iterator[dict[str, Array]]:
        """Gives the outputs of each sample in turn; the next sample is sent while the child computes.

        Raises:
            DataError: a name, dtype or shape does not fit. RuntimeFailureError: LiteRT refuses or dies.
        """
        pending: _Pending | None = None
        for inputs in samples:
            sample = fit_sample(inputs, self.inputs)
            following = self._send("run", "running", sample=sample, inputs=sample)
            if pending is not None:
                yield self._wait(pending)
            pending = following
        if pending is not None:
            yield self._wait(pending)

    def time(self, runs: int, warmup: int = 0, inputs: Sample | None = None) -> list[float]:
        """Gives the milliseconds of each of ``runs`` invocations, measured in the child around LiteRT only.

        Args:
            runs: how many to time.
            warmup: how many to run before, untimed.
            inputs: the sample; random within each input's range unless given.
        """
        sample = fit_sample(inputs, self.inputs) if inputs is not None else random_sample(self.inputs)
        limit = None if self._timeout_s is None else self._timeout_s * max(1, runs + warmup)
        pending = self._send(
            "time", "running", sample=sample, timeout_s=limit, inputs=sample, runs=runs, warmup=warmup
        )
        return cast(list[float], self._wait(pending))

    def observe(self, samples: Iterable[Sample], observers: Mapping[str, Observer]) -> dict[str, Any]:
        """Gives the observers back after they saw their outputs for every sample, without copying an output.

        Args:
            samples: sent one by one, the next while the child computes.
            observers: by output: its name, a graph output's tensor name, or ``#3`` for the graph's output 3
                (tensor names need not be unique, positions are).

        Raises:
            DataError: a sample does not fit. RuntimeFailureError: LiteRT or an observer fails.
        """
        self._ask("watch", "preparing", observers=dict(observers))
        pending: _Pending | None = None
        for inputs in samples:
            sample = fit_sample(inputs, self.inputs)
            following = self._send("see", "running", sample=sample, inputs=sample)
            if pending is not None:
                self._wait(pending)
            pending = following
        if pending is not None:
            self._wait(pending)
        return cast(dict[str, Any], self._ask("observed", "finishing"))

    # -- memory and life -----------------------------------------------------------------------

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory the child ever held, mapped pages of the model file and Python included."""
        return int(self._ask("memory", "asked for its memory"))

    def close(self) -> None:
        """Ends the child process; may be called twice."""
        if self._end is None:
            self._end = "The session is closed."
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- requests and replies ------------------------------------------------------------------

    def _ask(self, verb: str, doing: str, sample: Sample | None = None, **arguments: Any) -> Any:
        return self._wait(self._send(verb, doing, sample, **arguments))

    def _send(
        self,
        verb: str,
        doing: str,
        sample: Sample | None = None,
        timeout_s: float | None = None,
        **arguments: Any,
    ) -> _Pending:
        if self._end is not None:
            raise RuntimeFailureError(self._end)
        limit = self._timeout_s if timeout_s is None else timeout_s
        pending = _Pending(self._sent, doing, sample, limit)
        self._sent += 1
        try:
            self._child.send((verb, arguments), limit)
        except self._child.faults as fault:
            self._fail(fault, pending)
        except BaseException:
            self.close()  # half a frame may be in the pipe
            raise
        return pending

    def _wait(self, pending: _Pending) -> Any:
        """The reply to a request; replies come in the order of the requests."""
        while pending.ticket not in self._replies:
            if self._end is not None:
                raise RuntimeFailureError(self._end)
            try:
                reply = self._child.receive(pending.timeout_s)
            except self._child.faults as fault:
                self._fail(fault, pending)
            self._replies[self._received] = reply
            self._received += 1
        status, value = self._replies.pop(pending.ticket)
        if status == "done":
            return value
        if status == "data":
            raise DataError(value)
        if status == "failed":
            raise RuntimeFailureError(value)
        raise RuntimeFailureError(f"LiteRT refused {self._name} while {pending.doing} it: {value}")

    def _fail(self, fault: Exception, pending: _Pending) -> NoReturn:
        """Ends the session with the sentence that tells how the child ended, and on which op."""
        how = self._child.epitaph(fault, f"{pending.doing} {self._name}")
        crashed = self._child.crashed(fault)
        self._end = how
        self.close()
        if crashed:
            op = locate_crash(self._model, pending.sample, **self._options)
            self._end = how = f"{how} {op or 'The op it died on could not be found.'}"
        raise RuntimeFailureError(how) from None
