import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.sample_reports import change_candidates
from tightfit.report.page.html import render_html, write_html
from tightfit.search.candidates.candidate import FloatOp, LayerError, PlanSummary, TargetVerdict

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover=alert(1) x='",
    "</script><script>alert(1)</script>",
    "</template><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; &#x3c;b>",
    "\u202egnp.exe\x1b[2J\x00",
    "--><!-- ]]>",
)


class Page(HTMLParser):
    """The tags, attribute names, ids, words and scripts of a page."""

    void = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.shape, self.open, self.ids, self.words, self.attributes = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attrs):
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def renamed(report, words):
    """The report with every word that comes from outside replaced."""
    names = {c.name: f"{words}{i}" for i, c in enumerate(report.candidates)}

    def reworded(c):
        left = c.plan_summary and c.plan_summary.left_in_float
        return replace(
            c,
            name=names[c.name],
            steps=[words] * len(c.steps),
            path=words,
            layout=words,
            interface=words,
            layer_error=[LayerError(words, words, e.snr_db) for e in c.layer_error[:4]],
            targets={words: TargetVerdict(False, 0.5, None, [words])} if c.targets else {},
            plan_summary=PlanSummary(1, 1, [FloatOp(words, words, words)]) if left else c.plan_summary,
            failure=c.failure and words,
            reasons=[words] if c.failure else c.reasons,
        )

    return replace(
        change_candidates(report, reworded),
        best=names.get(report.best),
        pareto=[names[name] for name in report.pareto],
        model=dict.fromkeys(("name", "sha256"), words),
        data={"name": words, "fingerprint": words, "image": words},
        machine={"cpu": words, "flags": [words]},
        notes=[words],
        version=words,
    )


def test_every_kind_of_search_gives_a_sound_page(any_report):
    text = render_html(any_report)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"\b(nan|inf|None|undefined)\b", " ".join(page.words))
    numbers = [
        value for _, name, value in page.attributes if name in ("d", "cx", "cy", "r", "points", "style")
    ]
    assert not any(word in value for value in numbers for word in ("nan", "inf", "None"))


def test_every_candidate_is_in_the_table(report):
    text = render_html(report)
    rows = re.findall(r'<th scope="row" data-sort-text="([^"]*)"', text)
    assert sorted(rows) == sorted(c.name for c in report.candidates)
    assert rows[0] == report.best


def test_the_page_asks_nobody_for_anything(any_report):
    text = render_html(any_report)
    assert not re.search(r"https?:|[\"'(]//|@import|url\(|import\(|fetch\(|XMLHttp", text, re.IGNORECASE)
    loading = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
    assert not [name for _, name, _ in Page(text).attributes if name in loading]
    assert "default-src 'none'" in text


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_names_do_not_change_the_page(words, build_report):
    plain, hostile = (
        Page(render_html(renamed(build_report(), "n" * len(words)))),
        render_html(renamed(build_report(), words)),
    )
    assert Page(hostile).shape == plain.shape
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", hostile)


@settings(max_examples=15, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'/={}%-!# \na\u202e\ud800é"), min_size=1, max_size=12))
def test_no_name_changes_the_page(words):
    from support.sample_reports import build  # noqa: PLC0415 - a fixture would be shared by all examples

    plain = Page(render_html(renamed(build(), "n" * len(words))))
    assert Page(render_html(renamed(build(), words))).shape == plain.shape


def test_names_are_shown_as_they_are(build_report):
    page = Page(render_html(renamed(build_report(), "<b>&amp;</b>")))
    assert "<b>&amp;</b>" in page.words


def test_the_sentence_and_the_budget_are_on_the_page(report):
    words = " ".join(Page(render_html(report)).words).replace("\u00a0", " ")
    assert "int8+round fits." in words
    assert "5.3 MB instead of 18.6 MB (0.29×)" in words
    assert "95 % interval −0.8 … +0.6" in words
    assert "at most 6.0 MB" in words
    assert "Tango" in words
    assert "Intel(R) Xeon(R) CPU @ 2.60GHz" in words


def test_ops_left_in_float_are_grouped_by_reason(report):
    words = " ".join(Page(render_html(report)).words)
    assert "LiteRT 2.3 has no integer kernel for it." in words
    assert "TOPK_V2 feeds it." in words


def test_columns_sort_by_numbers_not_by_words(report):
    text = render_html(report)
    sizes = [c.size_bytes for c in report.candidates if c.size_bytes]
    assert all(f'data-sort="{size}"' in text for size in sizes)


def test_headers_can_be_reached_by_keyboard(report):
    text = render_html(report)
    assert len(re.findall(r'<th scope="col"[^>]*><button type="button"', text)) == 8


def test_a_page_of_many_layers_stays_small(build_report):
    report = build_report()
    many = [LayerError(f"block/{i}/conv", "CONV_2D", 20.0 + i % 7) for i in range(5000)]
    report = change_candidates(report, lambda c: replace(c, layer_error=many))
    assert len(render_html(report)) < 3_000_000


def test_the_page_is_written_whole(report, tmp_path):
    path = tmp_path / "report.html"
    write_html(report, path)
    assert path.read_text(encoding="utf-8") == render_html(report)
    assert list(tmp_path.iterdir()) == [path]
