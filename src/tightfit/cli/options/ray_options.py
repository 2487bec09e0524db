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
