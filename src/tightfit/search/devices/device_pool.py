"""Measures the files of a search on several boards at once, one job at a time on each board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.errors import TightfitError
from tightfit.evaluation.devices.ssh_device import latency_on
from tightfit.evaluation.latency import Latency
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.devices.device_file import NamedDevice

Measured = tuple[dict[str, Any], list[Latency]]
Measure = Callable[[NamedDevice, Sequence[Path]], Measured]


class DevicePool:
    """The boards of a search.

    Args:
        devices: the boards.
        seconds: longest measurement of one file on a board.
        measure: measures files on a board, interleaved with the first; over ssh by default.

    Attributes:
        found: name of a board → ``machine`` and, where it could not measure, ``failure``.
    """

    def __init__(
        self, devices: Sequence[NamedDevice], seconds: float, measure: Measure | None = None
    ) -> None:
        self.devices, self.seconds = list(devices), seconds
        self.found: dict[str, dict[str, Any]] = {}
        self._run = measure or self._over_ssh

    def measure(
        self, original: Path, candidates: Sequence[Candidate], folder: Path, done: Callable[[int, int], None]
    ) -> list[Candidate]:
        """Return the candidates with what each board measured of those that it had not measured before.

        Args:
            original: the float model, with which the others are interleaved.
            candidates: with their files; failed ones are left out.
            folder: that their paths are relative to.
            done: is called with the boards that are done and all.
        """
        found = {c.name: c for c in candidates}
        made = [c for c in candidates if c.failure is None and c.path is not None]
        with ThreadPoolExecutor(max_workers=max(1, len(self.devices))) as pool:
            jobs = [
                (device, wanted, pool.submit(self._run, device, _files(original, wanted, folder)))
                for device in self.devices
                if (wanted := [c for c in made if not _is_measured(c, device.name)])
            ]
            for number, (device, wanted, job) in enumerate(jobs, 1):
                for name, facts in self._facts(device, wanted, job).items():
                    devices = {**found[name].devices, device.name: facts}
                    found[name] = replace(found[name], devices=devices)
                done(number, len(jobs))
        return list(found.values())

    def _facts(
        self, device: NamedDevice, wanted: Sequence[Candidate], job: Future[Measured]
    ) -> dict[str, dict[str, Any]]:
        """Candidate → what a board measured; empty where the board failed; ``found`` has the reason."""
        try:
            machine, latencies = job.result()
        except TightfitError as error:
            self.found[device.name] = {"failure": str(error)}
            return {}
        self.found[device.name] = {"machine": machine}
        others = iter(latencies[1:])
        return {c.name: _facts(latencies[0] if c.is_original else next(others)) for c in wanted}

    def _over_ssh(self, device: NamedDevice, files: Sequence[Path]) -> Measured:
        seconds = self.seconds * len(files)
        return latency_on(device.device, files, threads=device.threads, seconds=seconds)


def _files(original: Path, candidates: Sequence[Candidate], folder: Path) -> list[Path]:
    return [original, *(folder / (c.path or "") for c in candidates if not c.is_original)]


def _is_measured(candidate: Candidate, name: str) -> bool:
    return candidate.devices.get(name, {}).get("latency_ms") is not None


def _facts(latency: Latency) -> dict[str, Any]:
    """What a report has of a file on a board."""
    known = latency.ratio_low is not None and latency.ratio_high is not None
    return {
        "latency_ms": latency.median_ms,
        "latency_ratio": latency.ratio,
        "latency_interval": [latency.ratio_low, latency.ratio_high] if known else None,
        "peak_memory_bytes": latency.peak_memory_bytes,
        "failure": latency.reason,
    }
