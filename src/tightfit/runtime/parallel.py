"""Observing with several child processes at once: each takes every n-th sample, what they saw is merged.

The samples go round in a fixed order, so the result does not depend on timing.
"""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self, runtime_checkable

from tightfit.runtime.session import Observer, Sample, Session

_QUEUE: Final = 2
_END: Final = object()


class Mergeable(Observer, Protocol):
    """An observer whose findings can be put together with those of others."""

    def merge(self, others: Sequence[Self]) -> None:
        """Takes in what the others saw; sample i of n observers was seen by observer i mod n."""
        ...


@runtime_checkable
class Placed(Protocol):
    """An observer that needs the numbers of the samples that it sees."""

    def place(self, lane: int, lanes: int) -> None:
        """Set them: ``lane``, ``lane + lanes``, ``lane + 2 * lanes`` and so on."""
        ...


def observe_together(
    model: bytes | str | Path,
    samples: Iterable[Sample],
    observers: Mapping[str, Mergeable],
    *,
    workers: int,
    threads: int = 1,
    shared: bool = False,
) -> dict[str, Any]:
    """Return the observers back after they saw every sample; see ``Session.observe``.

    Args:
        model: path or bytes of the ``.tflite``.
        samples: inputs by name; read once.
        observers: name → observer that sees each sample's tensors.
        workers: child processes: statistics then run on all cores, not only kernels.
        threads: CPU threads of each.
        shared: see ``Session``.

    Raises:
        DataError: a sample does not fit. RuntimeFailureError: LiteRT refuses or dies.
    """
    options = {"threads": threads, "shared": shared}
    lanes = [_Lane(model, _placed(observers, i, workers), options) for i in range(workers)]
    for lane in lanes:
        lane.start()
    try:
        for i, sample in enumerate(samples):
            if not lanes[i % workers].put(sample):
                break
    finally:
        for lane in lanes:
            lane.put(_END)
        for lane in lanes:
            lane.join()
    for lane in lanes:
        if lane.error is not None:
            raise lane.error
    first, *others = (lane.seen for lane in lanes)
    for key, observer in first.items():
        observer.merge([other[key] for other in others])
    return first


def _placed(observers: Mapping[str, Mergeable], lane: int, lanes: int) -> dict[str, Mergeable]:
    """Copies of observers for one lane; one lane of a cluster has its place already."""
    copies = copy.deepcopy(dict(observers))
    for observer in copies.values():
        if lanes > 1 and isinstance(observer, Placed):
            observer.place(lane, lanes)
    return copies


class _Lane(threading.Thread):
    """One child process with its queue of samples."""

    def __init__(self, model: bytes | str | Path, observers: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.model, self.options = model, options
        self.observers = observers
        self.samples: queue.Queue[Any] = queue.Queue(_QUEUE)
        self.seen: dict[str, Any] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with Session(self.model, **self.options) as session:
                self.seen = session.observe(self._take(), self.observers)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error

    def put(self, item: Any) -> bool:
        """Queues a sample; False when the lane has failed."""
        while self.error is None:
            try:
                self.samples.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _take(self) -> Iterator[Mapping[str, Any]]:
        while (item := self.samples.get()) is not _END:
            yield item
