"""Where the project and the models beside it lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
SHARED = ROOT.parent / "shared"
