"""The mark of tests that need a Vulkan driver for LiteRT's GPU accelerator."""

from __future__ import annotations

import pytest

from tightfit.targets.tools.vulkan import MISSING, find_driver

needs_vulkan = pytest.mark.skipif(find_driver() is None, reason=MISSING)
