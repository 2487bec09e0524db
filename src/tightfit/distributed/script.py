"""What a driver did and what its tasks took, for ``tasks.json``."""

from __future__ import annotations

import time
from typing import Any

from tightfit.distributed.tasks import Answer

Key = tuple[str, ...]


class Script:
    """What a driver did, in order, and what its tasks took: a simulation replays it with other workers.

    Attributes:
        events: ``at`` seconds, ``event`` (add, wait, got, cancel, drain, release), ``task``, ``wanted``.
        tasks: ``task``, ``worker``, ``seconds`` of its work, ``cpu_seconds``, ``elapsed`` seconds since it
            was submitted, ``at`` its end.
    """

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.events: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []

    def note(self, event: str, key: Key, *, wanted: bool = False) -> None:
        """Record an event."""
        at = time.monotonic() - self.begun
        self.events.append({"at": at, "event": event, "task": "/".join(key), "wanted": wanted})

    def ended(self, key: Key, answer: Answer, elapsed: float) -> None:
        """Record what a task took."""
        took = {"seconds": answer.seconds, "cpu_seconds": answer.cpu_seconds, "elapsed": elapsed}
        where = {"host": answer.host, "worker": f"{answer.host}/{answer.worker}"}
        at = {"at": time.monotonic() - self.begun, "bytes": len(answer.packed)}
        self.tasks.append({"task": "/".join(key), **where, **at, **took})

    def longest(self, kind: str) -> float:
        """Return the seconds of the longest task of a kind; of any kind where none of it has ended."""
        own = [t["seconds"] for t in self.tasks if t["task"].partition("/")[0] == kind]
        return max(own or [t["seconds"] for t in self.tasks], default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "seconds": time.monotonic() - self.begun,
            "events": self.events,
            "tasks": self.tasks,
        }
