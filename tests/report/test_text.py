from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from support.sample_reports import change_candidates
from tightfit.report.text import render_text
from tightfit.search.candidates.candidate import Candidate


def test_every_kind_of_search_fits_into_80_columns(any_report):
    text = render_text(any_report)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_no_number_is_cut_short(any_report):
    table = render_text(any_report).split("\n\n")[1]
    cut = [line for line in table.splitlines() if "…" in line.replace(" … ", "")]
    assert cut == []


def test_long_names_make_room_for_the_numbers(build_report):
    longer = lambda c: replace(c, name=f"{c.name}-with-a-very-long-name", metric="mae")  # noqa: E731 - used once
    report = change_candidates(build_report(), longer)
    table = render_text(report).split("\n\n")[1].splitlines()
    assert max(len(line) for line in table) <= 80
    assert all("…" in line[:18] for line in table[1:])
    assert "−0.0040 … +0.0040 yes" in " ".join(table[8].split())


def test_the_table_has_a_line_for_each_candidate(report):
    lines = render_text(report).splitlines()
    for c in report.candidates:
        assert any(line[2:].startswith(c.name) for line in lines)
    (chosen,) = [line for line in lines if line.startswith("→")]
    assert " ".join(chosen.split()) == "→ int8+round 5.3 MB 0.29× 0.95× 86.7 % −0.1 −0.8 … +0.6 yes"


def test_the_first_words_are_the_choice(report):
    assert render_text(report).startswith("int8+round fits. 5.3 MB instead of 18.6 MB (0.29×), 0.95× the")


def test_reasons_and_missing_gains_follow_the_table(report):
    text = " ".join(render_text(report).split())
    assert "float16: The file is 9.3 MB; the budget allows 6.0 MB." in text
    assert "weight8: No gain in latency on this machine." in text
    assert "int16x8: Slower than the original on this machine (1.50×). 1 op stayed in float." in text
    assert "int4-io: LiteRT refused the file" in text


def test_an_unfinished_search_says_so(build_report):
    assert "this is the best so far" in " ".join(render_text(build_report(finished=False)).split())


def test_names_are_not_read_as_markup(build_report):
    name = "[red]int8[/red]"
    text = render_text(build_report(candidates=[Candidate(name, "int8", ["int8"], size_bytes=5)]))
    assert name in text


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x2FFF), max_size=60))
def test_names_cannot_write_control_characters(name):
    from support.sample_reports import build  # noqa: PLC0415 - a fixture would be shared by all examples

    text = render_text(build(candidates=[Candidate(name, "int8", ["int8"], size_bytes=5)], notes=[name]))
    assert not {c for c in text if ord(c) < 32 and c != "\n"}
    assert "\u202e" not in text
