"""A Ray cluster of several raylets on this machine, started once for all tests of the folder."""

from __future__ import annotations

import warnings

import pytest

from raylets import Raylets


@pytest.fixture(scope="session")
def raylets():
    """Four raylets, three with one processor each; the head measures latency."""
    pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'tightfit[ray]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Raylets(3, head_cpus=0, client=True)
    yield cluster
    cluster.close()
