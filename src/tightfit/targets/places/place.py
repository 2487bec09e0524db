"""The places of ``--on``: one row each, with how a file is opened there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError
from tightfit.evaluation.devices.adb_device import AdbDevice, open_on_phone
from tightfit.evaluation.devices.ssh_device import Device, latency_on, open_on
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.machine import machine
from tightfit.evaluation.parallel_runs import Answering
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.emulator import emulator_of
from tightfit.runtime.session import Session
from tightfit.targets.places.float16 import rounded_to_float16
from tightfit.targets.places.gpu_session import GpuSession

EXPECTED: Final = "expected arm, arm:CORE, gpu, phone, ssh://user@host[:port] or adb://SERIAL."
NO_TIME: Final = (
    "An emulator or a simulation has no latency; measure it on a device: "
    "tightfit benchmark MODEL --on ssh://user@host."
)


@dataclass(frozen=True)
class Place:
    """Where files run.

    Args:
        title: its name for people.
        open: opens a file there, as a session.
        processor: ``aarch64`` … where it is known to differ from this computer's, else "".
    """

    title: str
    open: Callable[[Path], Answering]
    processor: str = ""


def find_place(on: Device | str) -> Place:
    """Return the place of an option's text, or of a device.

    Args:
        on: ``arm``, ``arm:CORE``, ``gpu``, ``phone``, ``adb://SERIAL``, ``ssh://user@host``, or a device.

    Raises:
        OptionError: there is no such place, or what it needs is missing.
    """
    if isinstance(on, Device):
        return Place(on.url, lambda path: open_on(on, path))
    if on == "gpu":
        return Place("LiteRT's GPU accelerator", GpuSession)
    if on == "phone":
        opens = lambda path: Session(serialize(rounded_to_float16(read_model(path))))  # noqa: E731 - short
        return Place("a phone's GPU in float16, simulated", opens)
    name = on.partition(":")[0]
    if name == "arm":
        emulator = emulator_of(on)
        return Place(emulator.title, lambda path: Session(path, on=emulator), "aarch64")
    if name == "adb":
        phone = AdbDevice.parse(on)
        return Place(phone.url, lambda path: open_on_phone(phone, path), "aarch64")
    if name == "ssh":
        return find_place(Device.parse(on))
    raise OptionError(f"Received '{on}' as the place; {EXPECTED}")


def check_timed(on: Device | str | None) -> None:
    """Refuse a place that is none, or that has no latency, before a model is converted for it.

    Raises:
        OptionError: says which places there are.
    """
    if not isinstance(on, str) or on == "gpu":
        return
    name = on.partition(":")[0]
    if name in ("arm", "phone"):
        raise OptionError(NO_TIME)
    if name == "adb":
        AdbDevice.parse(on)
    else:
        Device.parse(on)


def latencies_on(
    on: Device | str | None, paths: Sequence[Path], *, threads: int, rounds: int, seconds: float
) -> tuple[dict[str, Any], list[Latency]]:
    """Return the description of a place, and the latency of each model there; ratios are to the first.

    Args:
        on: the place, None for this computer.
        paths: the models.
        threads: that LiteRT computes with.
        rounds: most rounds.
        seconds: time limit of all rounds.

    Raises:
        OptionError: there is no such place, or an emulator is named, whose times mean nothing.
        RuntimeFailureError: a device cannot be reached.
    """
    check_timed(on)
    if on is None:
        return machine(), compare_latency(paths, threads=threads, rounds=rounds, budget_s=seconds)
    if on == "gpu":
        with GpuSession(paths[0]) as first:
            where = {**machine(), "on": f"the GPU '{first.adapter}'"}
        opens = lambda model, _: GpuSession(model)  # noqa: E731 - one expression
        return where, compare_latency(paths, rounds=rounds, budget_s=seconds, opens=opens)
    if isinstance(on, str) and on.startswith("adb:"):
        phone = AdbDevice.parse(on)
        start = lambda model, _: open_on_phone(phone, Path(model))  # noqa: E731 - one expression
        described = {**dict.fromkeys(machine()), "on": phone.url, "os": "Android"}
        return described, compare_latency(paths, rounds=rounds, budget_s=seconds, opens=start)
    device = Device.parse(on) if isinstance(on, str) else on
    return latency_on(device, paths, threads=threads, rounds=rounds, seconds=seconds)
