"""The mark of tests that need LiteRT for ARM under emulation."""

from __future__ import annotations

import pytest

from tightfit.runtime.emulator import MISSING, is_available

needs_emulator = pytest.mark.skipif(not is_available(), reason=MISSING)
