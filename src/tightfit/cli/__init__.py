"""The command line: the only place that prints or exits.

``app`` holds the group and turns errors into exit codes, ``options`` what commands share, ``progress`` the
bars; each command stands in the file of its family.
"""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line and exits with its code."""
    # OpenBLAS reads it when NumPy is loaded. Its idle threads spin for 2^26 cycles after each product, on
    # cores that LiteRT's processes want: with 2^10 pruning takes three quarters of the CPU time (2 cores).
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "10")
    from tightfit.cli.app import start  # noqa: PLC0415 - keeps `import tightfit.cli` light

    start()
