"""Make names from model files safe to show: a file may have any bytes as the name of a tensor."""

from __future__ import annotations

from tightfit.errors import printable

__all__ = ["printable"]
