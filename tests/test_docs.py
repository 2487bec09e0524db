"""The generated pages say what the tables say."""

from __future__ import annotations

import pytest

from support.doc_pages import DOCS, generator


@pytest.mark.parametrize("page", ["targets", "ops", "schemes", "recoveries"])
def test_the_page_is_up_to_date(page):
    expected = getattr(generator(), f"{page}_page")()
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == expected, "run: python docs/generate.py"


def test_the_page_of_onnx_is_up_to_date():
    pytest.importorskip("jax", reason="needs jax: the extra 'onnx'")
    assert (DOCS / "onnx.md").read_text(encoding="utf-8") == generator().onnx_page()
