"""The generated pages say what the tables say."""

from __future__ import annotations

import importlib.util

import pytest

from support.places import ROOT

DOCS = ROOT / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["targets", "ops"])
def test_the_page_is_up_to_date(page):
    expected = getattr(generator(), f"{page}_page")()
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == expected, "run: python docs/generate.py"


def test_the_page_of_onnx_is_up_to_date():
    pytest.importorskip("jax", reason="needs jax: the extra 'onnx'")
    assert (DOCS / "onnx.md").read_text(encoding="utf-8") == generator().onnx_page()
