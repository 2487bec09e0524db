"""A Ray cluster of raylets on this machine for the benchmarks, its processes found by a mark."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from tightfit.distributed.connection import DAEMON_VARIABLES

STORE_BYTES = 100 << 20
MARK = "TIGHTFIT_BENCH_MARK"
_STARTS = 4


class Raylets:
    """A head that measures latency, and nodes with one processor each.

    Args:
        workers: number of nodes beside the head.
        head_cpus: processors of the head.
        client: serve drivers outside of the cluster, at ``client_address``.
    """

    def __init__(self, workers: int, head_cpus: int = 1, *, client: bool = False) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.update(DAEMON_VARIABLES)
        os.environ.update({"RAY_raylet_start_wait_time_s": "120"})  # on a busy machine
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        self.mark = os.environ[MARK] = uuid.uuid4().hex
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - after the environment is set

        head = {"num_cpus": head_cpus, "resources": {"latency:here": 1}, "include_dashboard": False}
        if client:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                head["ray_client_server_port"] = free.getsockname()[1]
            self.client_address = f"ray://127.0.0.1:{head['ray_client_server_port']}"
        self.cluster = Cluster()
        self.dead: list[Any] = []
        self.head = self._start(head)
        self.nodes = [self.add() for _ in range(workers)]

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return str(self.cluster.address)

    def add(self) -> Any:
        """Start a node."""
        return self._start({"num_cpus": 1})

    def _start(self, options: dict[str, Any]) -> Any:
        """Start a node; Ray gives up after 30 s, which a busy machine may need for one."""
        for tried in range(_STARTS):
            try:
                return self.cluster.add_node(object_store_memory=STORE_BYTES, **options)
            except Exception:  # Ray raises no other class
                if tried == _STARTS - 1:
                    raise
        return None

    def kill(self, number: int, sent: signal.Signals = signal.SIGKILL) -> None:
        """Kill a node's raylet, or stop it with SIGSTOP; any thread may do it."""
        node = self.nodes.pop(number)
        self.dead.append(node)
        for each in node.all_processes["raylet"]:
            os.kill(each.process.pid, sent)

    def busy(self, within_s: float = 0.0) -> list[int]:
        """Return the numbers of nodes, without the head, on which a task of a search runs.

        Args:
            within_s: how long one is waited for.
        """
        end = time.monotonic() + within_s
        while True:
            working = {raylet for raylet, words in self.processes().values() if "ray::perform" in words}
            daemons = [[each.process.pid for each in node.all_processes["raylet"]] for node in self.nodes]
            found = [number for number, pids in enumerate(daemons) if working & set(pids)]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def kill_head(self) -> None:
        """Kill all daemons of the head with SIGKILL."""
        for each in (each for several in self.head.all_processes.values() for each in several):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.process.pid, signal.SIGKILL)

    def replace(self) -> None:
        """Start a node for each that was killed; Ray starts nodes in the main thread only."""
        while self.dead:
            self.cluster.remove_node(self.dead.pop(), allow_graceful=False)
            self.nodes.append(self.add())

    def processes(self) -> dict[int, tuple[int, str]]:
        """Return process id → (raylet, command line) of the cluster's processes; 0 for none of a raylet."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                variables = (entry / "environ").read_bytes()
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.mark.encode() in variables:
                raylet = re.search(rb"RAY_RAYLET_PID=(\d+)", variables)
                found[int(entry.name)] = (0 if raylet is None else int(raylet[1])), words
        return found

    def orphans(self) -> list[str]:
        """Return what is left of a search that has ended: LiteRT's children, and workers without a raylet.

        The children of this process are not left over: it lives, and starts its next session with them.
        """
        alive = self.processes()
        left = [found for pid, found in alive.items() if not _is_own(pid)]
        children = [words for _, words in left if "tightfit" in words and "ray::" not in words]
        # A worker's parent is the init process also while its raylet lives: Ray starts it so.
        return children + [words for raylet, words in left if raylet and raylet not in alive]

    def close(self) -> None:
        """End the cluster."""
        self.cluster.shutdown()


def _is_own(pid: int) -> bool:
    """Whether a process outside of the raylets descends from this one."""
    while pid > 1 and pid != os.getpid():
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid == os.getpid()
