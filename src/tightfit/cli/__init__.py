"""The command line: the only place that prints or exits.

``app`` holds the group and turns errors into exit codes, ``options`` what commands share, ``progress`` the
bars; each command stands in the file of its family.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exits with its code."""
    _leave_working_folder()
    # OpenBLAS reads it when NumPy is loaded. Its idle threads spin for 2^26 cycles after each product, on
    # cores that LiteRT's processes want: with 2^10 pruning takes three quarters of the CPU time (2 cores).
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "10")
    from tightfit.cli.app import start  # noqa: PLC0415 - keeps `import tightfit.cli` light

    start()


def _leave_working_folder() -> None:
    """Remove the working folder from the module path where only an empty entry of PYTHONPATH put it there.

    Such an entry, as in ``PYTHONPATH=$PYTHONPATH:/other`` where nothing was set before, names no folder.
    """
    if "" not in os.environ.get("PYTHONPATH", "x").split(os.pathsep):
        return
    try:
        folder = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    except OSError:  # it was removed
        return
    named = {os.path.abspath(p) for p in os.environ["PYTHONPATH"].split(os.pathsep) if p}  # noqa: PTH100 - the same
    if folder not in named:
        sys.path[:] = [place for place in sys.path if place not in ("", folder)]
