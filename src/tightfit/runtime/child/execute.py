"""Becomes another program, confined as this child was: an emulator, which cannot confine itself."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Replace this process by the program of the command line."""
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the words are of this package
