"""The connection to a Ray cluster: starting or joining it, its nodes, and the versions that it runs."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tightfit import __version__
from tightfit.distributed.needs import Machine, Node, node_of
from tightfit.distributed.options import LATENCY, OWN, RayCluster
from tightfit.distributed.raylet_watch import end_with_raylet
from tightfit.errors import OptionError, RuntimeFailureError, TightfitError, first_line
from tightfit.runtime.child.process import cores
from tightfit.scratch import scratch_folder
from tightfit.search.executor import ExecutorLostError

PACKAGES: Final = ("ray", "ai-edge-litert", "numpy")
"""Packages whose versions decide what a file holds and what it answers."""

OWN_LATENCY: Final = "here"
"""The latency resource of a cluster that is started on this machine."""

STORE_FULL: Final = (
    "The object store of the cluster is full, on disk too. Free disk space on the nodes, or start them with "
    "a larger --object-store-memory."
)

DAEMON_VARIABLES: Final = {
    "RAY_prestart_worker_first_driver": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "300000",
}
"""Of ``ray start``: workers start when a task needs one, and wait 5 minutes for the next task."""

_PROBE_S: Final = 120.0
_CONNECT_S: Final = 15.0


class Connection:
    """A driver's connection to a cluster.

    Attributes:
        ray: the module.
        own: whether the cluster was started for it, and ends with it.
        cores: machine → its processors, of machines that were asked.
    """

    def __init__(self, cluster: RayCluster) -> None:
        """Start or join the cluster.

        Raises:
            OptionError: Ray is not installed, or the cluster runs other versions.
            RuntimeFailureError: the cluster cannot be reached.
        """
        self.cluster, self.own = cluster, cluster.address == OWN
        self.cores: dict[Machine, int] = {}
        self.ray = _import_ray()
        with _nothing_importable():
            self._join()
        try:
            self.check_versions()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        options["runtime_env"] = {"env_vars": worker_variables()}
        if self.own:
            for name, value in DAEMON_VARIABLES.items():
                os.environ.setdefault(name, value)
            options |= {
                "address": "local",
                "num_cpus": cores(),
                "object_store_memory": self.cluster.store_bytes,
                "include_dashboard": False,
                "resources": {f"{LATENCY}{OWN_LATENCY}": 1},
            }
        else:
            refuse_closed(self.cluster.address)
            options["address"] = self.cluster.address
        try:
            self.ray.init(**options)
        except Exception as error:
            self.close()
            raise _refusal(self.cluster.address, error) from error

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive.

        Raises:
            ExecutorLostError: the cluster's head does not answer.
        """
        found = self.reached(self.ray.nodes)
        return [node_of(facts) for facts in found if facts["Alive"]]

    def reached(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return what a call of Ray returns.

        Raises:
            ExecutorLostError: the cluster is gone; what a task raised passes as it is.
        """
        own = self.ray.exceptions.RayError
        try:
            return call(*arguments, **options)
        except TightfitError:
            raise
        except own as error:
            if isinstance(error, self.ray.exceptions.RaySystemError):
                raise self._lost(error) from error
            raise
        except Exception as error:
            raise self._lost(error) from error

    def put(self, value: Any) -> Any:
        """Return a reference to a value in the object store.

        Raises:
            RuntimeFailureError: neither the store nor the disk has room for it.
            ExecutorLostError: the cluster is gone.
        """
        try:
            return self.reached(self.ray.put, value)
        except self.ray.exceptions.RayError as error:
            raise RuntimeFailureError(STORE_FULL) from error

    def _lost(self, error: Exception) -> ExecutorLostError:
        said = first_line(error).rstrip(".")[:160]
        return ExecutorLostError(
            f"The Ray cluster '{self.cluster.address}' is gone ({said}). Start its head again and run the "
            "same command: it goes on where it stopped."
        )

    def check_versions(self) -> None:
        """Compare what each machine runs with what runs here, and ask for its processors.

        One node of a machine answers; another one, or one that comes later, is compared by its first task.

        Raises:
            OptionError: a version differs.
            RuntimeFailureError: a node does not answer.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On  # noqa: PLC0415 - Ray

        probe = self.ray.remote(num_cpus=0, max_retries=0)(node_facts)
        # The worker that answers works on; a node that measures latency surely needs one.
        machines = {node.machine: node for node in sorted(self.nodes(), key=lambda node: bool(node.latency))}
        found = {
            node: probe.options(scheduling_strategy=On(node.key, soft=False)).remote()
            for node in machines.values()
        }
        for node, answer in found.items():
            try:
                theirs, self.cores[node.machine] = self.ray.get(answer, timeout=_PROBE_S)
                refuse_skew(theirs, versions(), node.host)
            except (self.ray.exceptions.NodeDiedError, self.ray.exceptions.TaskUnschedulableError):
                continue  # it left the cluster meanwhile
            except self.ray.exceptions.RayError as error:
                raise RuntimeFailureError(
                    f"The node '{node.host}' does not answer ({first_line(error)[:160]}). Check that "
                    "tightfit is installed on every node, in the environment that runs ray start."
                ) from error

    def latency_nodes(self) -> list[Node]:
        """Return the nodes that measure latency; none where the cluster has no such resource.

        Raises:
            OptionError: the cluster's names leave open which is meant, or lack the one that is.
        """
        nodes = self.nodes()
        names = sorted({name for node in nodes for name in node.latency})
        wanted = self.cluster.latency
        if wanted is None and len(names) > 1:
            raise OptionError(
                f"The cluster measures latency as {', '.join(names)}; choose one with --latency-on NAME."
            )
        if wanted is not None and wanted not in names:
            known = ", ".join(names) or "none"
            raise OptionError(
                f"No node of the cluster has the resource {LATENCY}{wanted} (there are: {known}). Start one "
                f"with ray start --resources='{{\"{LATENCY}{wanted}\": 1}}'."
            )
        chosen = wanted or next(iter(names), None)
        return [node for node in nodes if chosen in node.latency]

    def close(self) -> None:
        """Leave the cluster, and end one that was started here."""
        with contextlib.suppress(Exception):
            self.ray.shutdown()


def worker_variables() -> dict[str, str]:
    """Return the environment variables of workers: as many BLAS threads as this process has.

    Ray gives each worker one thread. With another number of threads than the driver's, products of large
    matrices have other last bits, and a recovery such as GPTQ writes another file.
    """
    named = (os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
    threads = next(filter(None, named), str(cores()))
    return {"OMP_NUM_THREADS": threads, "OPENBLAS_THREAD_TIMEOUT": "10"}


def node_facts() -> tuple[dict[str, str], int]:
    """Return ``versions`` and the processors of a worker, which ends with its raylet from then on."""
    end_with_raylet()
    return versions(), cores()


def versions() -> dict[str, str]:
    """Return what runs in this process: versions of Python, tightfit and the packages that matter."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "tightfit": __version__}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def refuse_skew(theirs: Mapping[str, str], ours: Mapping[str, str], host: str) -> None:
    """Check that a worker runs what the driver runs.

    Raises:
        OptionError: a version differs; all that differ are named.

    Example:
        >>> refuse_skew({"numpy": "2.1"}, {"numpy": "2.2"}, "node7")
        Traceback (most recent call last):
        ...
        tightfit.errors.OptionError: Node 'node7' runs numpy 2.1, and the driver 2.2. Install the same \
versions on every node: files would not be equal.
    """
    names = sorted({*theirs, *ours})
    other = [
        f"{n} {theirs.get(n, 'none')}, and the driver {ours.get(n, 'none')}"
        for n in names
        if theirs.get(n) != ours.get(n)
    ]
    if other:
        raise OptionError(
            f"Node '{host}' runs {'; '.join(other)}. Install the same versions on every node: files would "
            "not be equal."
        )


def refuse_closed(address: str) -> None:
    """Check that the port of a cluster's head takes connections: Ray itself tries for minutes.

    Args:
        address: ``ray://HOST:PORT`` or ``HOST:PORT``.

    Raises:
        RuntimeFailureError: it takes none.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _refusal(address, error) from error


def _import_ray() -> Any:
    # Nothing of a search leaves the cluster, and Ray leaves a worker's accelerator variables alone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise OptionError("Ray is not installed. Install it with pip install 'tightfit[ray]'.") from error


@contextlib.contextmanager
def _nothing_importable() -> Iterator[None]:
    """Connect from an empty folder: Ray puts the working folder and the script's on the workers' path.

    A ``numpy.py`` in a folder that the user happens to be in would run on every node otherwise.
    """
    before, script = Path.cwd(), sys.argv[0]
    with scratch_folder() as empty:
        os.chdir(empty)
        sys.argv[0] = ""
        try:
            yield
        finally:
            sys.argv[0] = script
            os.chdir(before)


def _refusal(address: str, error: Exception) -> Exception:
    """The error for the user: other versions, or no connection."""
    said = first_line(error).rstrip(".")
    if "ersion mismatch" in str(error):
        words = " ".join(str(error).split())
        return OptionError(f"'{address}' runs other versions of Ray or Python: {words[:300]}.")
    return RuntimeFailureError(
        f"Cannot reach the Ray cluster '{address}': {said}. Check that its head runs (ray start --head) and "
        "that the port is open."
    )
