"""What runs in a Ray task: one method of the worker's bench, its result or its error as a value."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from tightfit import errors
from tightfit.distributed.connection import refuse_skew, versions
from tightfit.distributed.context import Context
from tightfit.distributed.evaluation_bench import EvaluationBench, EvaluationContext
from tightfit.distributed.raylet_watch import end_with_raylet
from tightfit.distributed.workbench import Workbench
from tightfit.errors import RuntimeFailureError, TightfitError

_BENCHES: Final = 2


@dataclass(frozen=True)
class Answer:
    """What a task returns.

    Args:
        packed: what the method returned, pickled: arrays that Ray unpacks itself are read-only.
        error: class and message of an error of this package, or None.
        seconds: that the method took.
        cpu_seconds: of the process and its descendants.
        host: where it ran.
        worker: number of the process.
    """

    packed: bytes = b""
    error: tuple[str, str] | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    host: str = ""
    worker: int = 0

    def result(self) -> Any:
        """Return the value.

        Raises:
            TightfitError: what the method raised.
        """
        if self.error is not None:
            name, message = self.error
            kind = getattr(errors, name, RuntimeFailureError)
            raise kind(message)
        return pickle.loads(self.packed)  # noqa: S301 - a worker of this search has made it


def perform(context: Context | EvaluationContext, method: str, *arguments: Any) -> Answer:
    """Return what a method of a bench returns.

    Args:
        context: the search or the evaluation.
        method: a public method of its bench.
        arguments: of the method; Ray has replaced references by what they stand for.
    """
    return _timed(lambda: getattr(_bench(context), method)(*arguments))


def perform_recording(context: Context, *arguments: Any) -> tuple[Answer, Any]:
    """Return the float model's scores on a shard, and its answers, which stay in the object store."""
    kept: list[Any] = []

    def record() -> Any:
        bench = _bench(context)
        assert isinstance(bench, Workbench)  # noqa: S101 - a search records
        scored, recorded = bench.record(*arguments)
        kept.append(recorded)
        return scored

    answer = _timed(record)
    return answer, next(iter(kept), None)


def _bench(context: Context | EvaluationContext) -> Workbench | EvaluationBench:
    """The bench of a search or of an evaluation, made once in a process."""
    end_with_raylet()
    refuse_skew(context.versions, versions(), os.uname().nodename)
    return _made(_Keyed(context))


class _Keyed:
    """A context that equals others of the same search."""

    def __init__(self, context: Context | EvaluationContext) -> None:
        self.context = context

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and other.context.key == self.context.key

    def __hash__(self) -> int:
        return hash(self.context.key)


@lru_cache(maxsize=_BENCHES)
def _made(keyed: _Keyed) -> Workbench | EvaluationBench:
    context = keyed.context
    return EvaluationBench(context) if isinstance(context, EvaluationContext) else Workbench(context)


def pack(value: Any) -> bytes:
    """Return a value as bytes; functions of metrics travel too."""
    from ray import cloudpickle  # noqa: PLC0415 - runs in Ray's workers

    packed: bytes = cloudpickle.dumps(value)
    return packed


def _timed(action: Callable[[], Any]) -> Answer:
    start, cpu = time.monotonic(), family_cpu_seconds()
    packed, error = b"", None
    try:
        packed = pack(action())
    except TightfitError as found:
        error = type(found).__name__, str(found)
    took = time.monotonic() - start
    return Answer(packed, error, took, family_cpu_seconds() - cpu, os.uname().nodename, os.getpid())


def family_cpu_seconds() -> float:
    """Return the processor seconds of this process and its descendants, also of those that were waited for.

    Without ``/proc`` only ended children count beside the process.
    """
    found, queue = 0.0, [os.getpid()]
    if not Path("/proc/self/stat").exists():
        return sum(os.times()[:4])
    while queue:
        folder = Path(f"/proc/{queue.pop()}")
        with contextlib.suppress(OSError):  # it ended since it was listed
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            for children in folder.glob("task/*/children"):
                queue += map(int, children.read_text().split())
    return found
