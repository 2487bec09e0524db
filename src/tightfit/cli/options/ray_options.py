"""Options of the commands that may run on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tightfit.distributed.options import RayCluster
from tightfit.errors import OptionError

RUN_FILE: Final = "tightfit.run"
"""Where a command's context has the path of ``--run``."""

F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(function: F) -> F:
    """Add ``--on``, ``--latency-on`` and ``--trust-code``."""
    where = click.option(
        "--on",
        metavar="CLUSTER",
        help="Do the work on Ray: 'ray' on this machine, ray://HOST:10001 or HOST:6379 on a cluster.",
    )
    latency = click.option(
        "--latency-on",
        metavar="NAME",
        help="With --on: measure latency on the nodes with the Ray resource latency:NAME.",
    )
    trust = click.option(
        "--trust-code",
        is_flag=True,
        help="With --on: run the functions of --data and --metric on the nodes of the cluster. With --run: "
        "run the functions that the file names.",
    )
    return where(latency(trust(function)))


def training_cluster_options(function: F) -> F:
    """Add ``--on``, ``--workers`` and ``--trust-code`` of a training."""
    where = click.option(
        "--on",
        metavar="CLUSTER",
        help="Share each batch among workers of Ray: 'ray' on this machine, ray://HOST:10001 or HOST:6379.",
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        help="With --on: workers that share a batch; by default one on each node.",
    )
    return where(workers(trust_option("--data, --loss and --augment")(function)))


def trust_option(functions: str) -> Callable[[F], F]:
    """Return the option ``--trust-code``.

    Args:
        functions: the options that may name one.
    """
    told = f"With --on and a cluster: run the functions of {functions} on its nodes."
    return click.option("--trust-code", is_flag=True, help=told)


def training_cluster(options: dict[str, Any]) -> RayCluster | None:
    """Return the cluster of a training's ``--on``, taken out of the options; None for this process.

    Raises:
        OptionError: the address is not understood, or the other options come without it.
    """
    address, workers, trust = (options.pop(name) for name in ("on", "workers", "trust_code"))
    if address is not None:
        return RayCluster(address, trust_code=trust, workers=workers)
    if workers is not None or trust:
        raise OptionError("Received --workers or --trust-code without --on; add --on ray://HOST:10001.")
    return None


def chosen_cluster(options: dict[str, Any]) -> RayCluster | None:
    """Return the cluster of ``--on``; None for this process.

    Raises:
        OptionError: the address is not understood, or the other options come without it.
    """
    address, latency, trust = options["on"], options["latency_on"], options["trust_code"]
    if address is None:
        if latency is not None or (trust and RUN_FILE not in click.get_current_context().meta):
            raise OptionError(
                "Received --latency-on or --trust-code without --on; add --on ray://HOST:10001."
            )
        return None
    return RayCluster(address, latency, trust_code=trust)
