"""The command line: the only place that prints or exits.

``app`` holds the group and turns errors into exit codes, ``options`` what commands share, ``progress`` the
bars; each command stands in the file of its family.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits with its code."""
    from tightfit.cli.app import run  # noqa: PLC0415 - keeps `import tightfit.cli` light

    run()
