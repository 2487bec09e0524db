"""Requests to a child process and its replies, in order, and what to say when the child dies between."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tightfit.errors import DataError, RuntimeFailureError
from tightfit.runtime.child.child_process import Child
from tightfit.types import Array

Sample = Mapping[str, Array]


@dataclass(frozen=True)
class Pending:
    """A request that was sent: its number, and what to say if the child dies in it."""

    number: int
    doing: str
    samples: Sequence[Sample]
    timeout_s: float | None


class Exchange:
    """Several requests may be under way; the child answers them in the order they were sent.

    Args:
        child: the process.
        name: what messages call the model.
        timeout_s: the longest wait for a reply, or None.
        locate: gives the sentence about the op that a sample kills the child with, or None.
    """

    def __init__(
        self,
        child: Child,
        name: str,
        timeout_s: float | None,
        locate: Callable[[Sample | None], str | None],
    ) -> None:
        self._child, self._name, self._timeout_s, self._locate = child, name, timeout_s, locate
        self._sent = 0
        self._awaited: deque[Pending] = deque()
        self._replies: dict[int, tuple[str, Any]] = {}
        self._end: str | None = None

    def ask(self, verb: str, doing: str, **arguments: Any) -> Any:
        """Sends a request and gives the reply's value; see ``send`` and ``wait``."""
        return self.wait(self.send(verb, doing, **arguments))

    def send(
        self, verb: str, doing: str, samples: Sequence[Sample] = (), *, calls: int = 1, **arguments: Any
    ) -> Pending:
        """Sends a request.

        Args:
            verb: a method of the child's handler.
            doing: what messages call it (``running``).
            samples: those that it runs, to find an op that dies on one.
            calls: how many times as long the reply may take.
            arguments: of the method.

        Raises:
            RuntimeFailureError: the child died, now or before.
        """
        if self._end is not None:
            raise RuntimeFailureError(self._end)
        limit = None if self._timeout_s is None else self._timeout_s * max(1, calls)
        pending = Pending(self._sent, doing, samples, limit)
        self._sent += 1
        self._awaited.append(pending)
        try:
            self._child.send((verb, arguments), limit)
        except self._child.faults as fault:
            self._fail(fault)
        except BaseException:
            self.close()  # half a frame may be in the pipe
            raise
        return pending

    def wait(self, pending: Pending) -> Any:
        """Return the value of the reply to a request.

        Raises:
            DataError: the sample does not fit. RuntimeFailureError: LiteRT refused, or the child died.
        """
        while pending.number not in self._replies:
            if self._end is not None:
                raise RuntimeFailureError(self._end)
            try:
                self._take(pending.timeout_s)
            except self._child.faults as fault:
                self._fail(fault)
        status, value = self._replies.pop(pending.number)
        if status == "done":
            return value
        if status == "data":
            raise DataError(value)
        if status == "failed":
            raise RuntimeFailureError(value)
        hint = self._child.memory_hint(value)
        raise RuntimeFailureError(f"LiteRT refused {self._name} while {pending.doing} it: {value}{hint}")

    def release(self) -> None:
        """Lets another session use the child where nothing is under way and it may be shared, else closes."""
        if self._end is None and not self._awaited and not self._replies and self._child.is_shared:
            with contextlib.suppress(RuntimeFailureError):
                self.ask("unload", "unloading")
                self._end = f"The session of {self._name} is closed; open another one."
                self._child.give_back()
                return
        self.close()

    def close(self) -> None:
        """Ends the child; may be called twice."""
        if self._end is None:
            self._end = f"The session of {self._name} is closed; open another one."
        self._child.close()

    def _take(self, timeout_s: float | None) -> None:
        reply = self._child.receive(timeout_s)
        self._replies[self._awaited.popleft().number] = reply

    def _fail(self, fault: Exception) -> NoReturn:
        """Ends the exchange with a sentence: how the child ended, and on which op."""
        crashed = self._child.crashed(fault)
        with contextlib.suppress(*self._child.faults):
            while crashed:  # the first request without a reply is the one that killed it
                self._take(1.0)
        culprit = self._awaited[0]
        how = self._child.describe_exit(fault, f"{culprit.doing} {self._name}")
        self._end = how
        self._child.kill()
        if crashed:
            self._end = how = f"{how} {self._place_of(culprit) or 'The op it died on could not be found.'}"
        raise RuntimeFailureError(how) from None

    def _place_of(self, culprit: Pending) -> str | None:
        """The sentence about the op that one of the samples kills the child with, or None."""
        return next((found for s in (culprit.samples or (None,)) if (found := self._locate(s))), None)
