"""Names from model files, made safe to show: a file may call a tensor anything."""

from __future__ import annotations

from tightfit.errors import printable

__all__ = ["printable"]
