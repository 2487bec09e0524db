"""The decision tree leads every combination of answers to advice, asking no more than it needs."""

from __future__ import annotations

import itertools
import re

import click
import pytest

from tightfit.cli.app import app
from tightfit.errors import OptionError
from tightfit.quantization.scheme import SCHEMES
from tightfit.search.advisor import parse_answers, questions, rules, walk


def test_every_combination_of_answers_ends_in_advice():
    names = list(questions())
    for combination in itertools.product(*(q.options for q in questions().values())):
        advice, missing = walk(dict(zip(names, combination, strict=True)))
        assert missing is None
        assert advice.scheme in SCHEMES
        assert advice.command.startswith("tightfit ")
        assert advice.source


def test_every_command_that_is_advised_exists():
    for rule in rules():
        for command in re.split(r" && | \|\| ", rule.command):
            program, verb, *words = command.split()
            assert program == "tightfit"
            command_of = app.get_command(click.Context(app), verb)
            assert command_of is not None
            options = {o for p in command_of.params for o in p.opts}
            assert {w for w in words if w.startswith("-")} <= options


def test_every_rule_can_be_reached():
    names = list(questions())
    reached = set()
    for combination in itertools.product(*(q.options for q in questions().values())):
        advice, _ = walk(dict(zip(names, combination, strict=True)))
        reached.add(advice.why)
    assert reached == {rule.why for rule in rules()}


def test_questions_are_asked_one_after_the_other_until_the_answer_is_known():
    answers: dict[str, str] = {}
    asked = []
    for answer in ("npu", "training", "lost", "no"):
        _, question = walk(answers)
        asked.append(question.name)
        answers[question.name] = answer
    assert asked == ["device", "data", "tried", "activations"]
    advice, question = walk(answers)
    assert question is None
    assert "--effort thorough" in advice.command
    assert "|| tightfit finetune MODEL --scheme int8" in advice.command


def test_the_guides_table_is_kept():
    assert walk({"device": "gpu"})[0].scheme == "float16"
    assert walk({"device": "npu", "data": "samples", "tried": "no"})[0].scheme == "int8"
    assert (
        walk({"device": "npu", "data": "samples", "tried": "lost", "activations": "yes"})[0].scheme
        == "int16x8"
    )
    assert walk({"device": "cpu", "goal": "latency", "data": "none"})[0].scheme == "dynamic"


def test_the_path_is_told():
    advice, _ = walk({"device": "gpu"})
    assert advice.path == (("Where does the model run?", "a phone's GPU"),)
    assert "Where does the model run?  →  a phone's GPU" in advice.text()
    assert advice.as_json()["path"] == [["Where does the model run?", "a phone's GPU"]]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("device", "Received the answer 'device'; expected QUESTION=ANSWER"),
        ("devise=cpu", "Unknown question 'devise'.*Did you mean 'device'"),
        ("device=cpi", "Unknown answer to 'device' 'cpi'.*Did you mean 'cpu'"),
    ],
)
def test_wrong_answers_are_refused(word, message):
    with pytest.raises(OptionError, match=message):
        parse_answers([word])
