"""The candidates of a search on its boards: measured, with the choice for each board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.devices.device_choice import choose_for
from tightfit.search.devices.device_pool import DevicePool
from tightfit.search.job import Job, Listener
from tightfit.units import format_count


@dataclass(frozen=True)
class DeviceResults:
    """What the boards of a job measured.

    Args:
        candidates: all, with ``devices`` where a board measured.
        devices: board → ``machine`` or ``failure``, and ``best``.
        best: board → name of the candidate that is chosen for it, or None.
        notes: why a board did not measure.
    """

    candidates: list[Candidate]
    devices: dict[str, dict[str, Any]]
    best: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure_on_devices(
    job: Job, candidates: list[Candidate], seconds: float, listener: Listener
) -> DeviceResults:
    """Return the candidates with their latency on each board of a job, and the choice for each board.

    Args:
        job: what is searched for, with its boards.
        candidates: with their files, the original first.
        seconds: longest measurement of one file on a board.
        listener: is called as the boards end.
    """
    listener.stage(f"latency on {format_count(len(job.devices), 'device')}", len(job.devices))
    pool = DevicePool(job.devices, seconds)
    found = pool.measure(job.model, candidates, job.output, listener.advance)
    before = {d.name: {"machine": {"on": d.device.url}} for d in job.devices if d.name in found[0].devices}
    devices = before | pool.found
    best = choose_for(found, job.budget, [n for n, facts in devices.items() if "machine" in facts])
    notes = [f"Device {n}: {facts['failure']}" for n, facts in pool.found.items() if "failure" in facts]
    return DeviceResults(found, {n: {**f, "best": best.get(n)} for n, f in devices.items()}, best, notes)
