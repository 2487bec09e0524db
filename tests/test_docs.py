"""The generated pages say what the tables say."""

from __future__ import annotations

import pytest

from support.doc_pages import DOCS, completeness, generator


@pytest.mark.parametrize("page", ["targets", "ops", "schemes", "recoveries", "metrics", "benchmarks"])
def test_the_page_is_up_to_date(page):
    expected = getattr(generator(), f"{page}_page")()
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == expected, "run: python docs/generate.py"


def test_the_page_of_onnx_is_up_to_date():
    pytest.importorskip("jax", reason="needs jax: the extra 'onnx'")
    assert (DOCS / "onnx.md").read_text(encoding="utf-8") == generator().onnx_page()


@pytest.mark.parametrize("language", ["", ".hi"])
def test_the_guide_says_what_the_stored_results_say(language):
    page = (DOCS / f"guide{language}.md").read_text(encoding="utf-8")
    assert page == generator().guide_page(language), "run: python docs/generate.py"


def test_the_picture_of_the_decision_tree_is_drawn_from_its_data():
    assert (DOCS / "decision-tree.svg").read_text(encoding="utf-8") == generator().decision_tree()


def test_every_public_name_and_argument_is_described():
    assert completeness().undocumented() == []


def test_a_public_name_that_is_not_described_stops_the_build(tmp_path, monkeypatch):
    hook = completeness()
    short = hook.PAGE.read_text(encoding="utf-8").replace("::: tightfit.api.check.check\n", "")
    (tmp_path / "api.md").write_text(short, encoding="utf-8")
    monkeypatch.setattr(hook, "PAGE", tmp_path / "api.md")
    with pytest.raises(SystemExit, match=r"check \(tightfit.api.check.check\) is not in api.md"):
        hook.on_pre_build({})
