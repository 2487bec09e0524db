"""A search on a Ray cluster: connect, search, leave."""

from __future__ import annotations

from functools import partial
from typing import Any

from tightfit.distributed.connection import Connection
from tightfit.distributed.options import RayCluster
from tightfit.distributed.ray_executor import RayExecutor
from tightfit.search.job import Job, Listener, Outcome
from tightfit.search.run import search


def search_on(cluster: Any, job: Job, listener: Listener) -> Outcome:
    """Return what a search finds whose work is done on a cluster.

    The choice and the files are those of ``search`` in one process; latency is that of the node that
    measured it.

    Args:
        cluster: an address or a ``RayCluster``.
        job: what is searched for.
        listener: is called as the search goes on.

    Raises:
        OptionError: Ray is not installed, versions differ, or the address is wrong.
        RuntimeFailureError: the cluster cannot be reached, or is lost.
        TightfitError: see ``search``.
    """
    connection = Connection(RayCluster.of(cluster))
    try:
        return search(job, listener, partial(RayExecutor, connection))
    finally:
        connection.close()
