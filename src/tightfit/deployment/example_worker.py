"""The child process that becomes the compiled example: confined, as every program that reads a model."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Replace this process by the program of the first argument."""
    os.execv(sys.argv[1], sys.argv[1:2])  # noqa: S606 - the program that this package compiled
