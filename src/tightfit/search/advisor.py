"""The decision tree of ``advise``, read from ``decision_tree.toml``: answers lead to advice."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tightfit.errors import OptionError, unknown_name
from tightfit.result import Result


@dataclass(frozen=True)
class Option:
    """One answer to a question."""

    name: str
    text: str


@dataclass(frozen=True)
class Question:
    """One question with its answers by name."""

    name: str
    text: str
    options: Mapping[str, Option]


@dataclass(frozen=True)
class AdviceRule:
    """A rule of the decision tree.

    Args:
        when: question → the answers for which the rule applies.
        scheme: the recommended scheme.
        why: the reason.
        command: the command to run.
        source: source of the rule.
    """

    when: Mapping[str, frozenset[str]]
    scheme: str
    why: str
    command: str
    source: str


@dataclass(frozen=True, repr=False)
class Advice(Result):
    """The recommendation for some answers.

    Args:
        path: (question, answer) of each step.
        scheme: the recommended scheme.
        why: the reason.
        command: the command to run, with the placeholders MODEL, SAMPLES, TRAIN, OUT, TARGET and SIZE.
        source: source of the rule.
    """

    path: tuple[tuple[str, str], ...]
    scheme: str
    why: str
    command: str
    source: str

    @property
    def notes(self) -> list[str]:
        """The reason."""
        return [self.why]

    def headline(self) -> str:
        """Return the recommended scheme and the command."""
        return f"Advice({self.scheme}: {self.command})"

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return self.to_dict()

    def text(self) -> str:
        """Return the advice for people."""
        steps = "\n".join(f"  {question}  →  {answer}" for question, answer in self.path)
        return f"{steps}\n\n{self.scheme}: {self.why}\n\n  {self.command}\n\n({self.source})"


@functools.cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files("tightfit.search").joinpath("decision_tree.toml").read_text(encoding="utf-8"))


@functools.cache
def questions() -> dict[str, Question]:
    """Return the questions by name, in the order in which they are asked.

    Example:
        >>> list(questions())
        ['device', 'goal', 'data', 'tried', 'activations']
    """
    return {
        name: Question(name, table["text"], {o: Option(o, text) for o, text in table["options"].items()})
        for name, table in _document()["questions"].items()
    }


@functools.cache
def rules() -> tuple[AdviceRule, ...]:
    """Return the rules in the order in which they are tried.

    Raises:
        OptionError: a rule names an unknown question or answer.
    """
    return tuple(_rule(table) for table in _document()["rules"])


def walk(answers: Mapping[str, str]) -> tuple[Advice, None] | tuple[None, Question]:
    """Return (advice, None), or (None, next question) when another answer is needed.

    Raises:
        OptionError: a question or an answer is unknown.

    Example:
        >>> advice, _ = walk({"device": "gpu"})
        >>> advice.scheme
        'float16'
        >>> walk({"device": "cpu"})[1].name
        'goal'
    """
    _check(answers)
    for rule in rules():
        open_names = [q for q in questions() if q in rule.when and q not in answers]
        if any(answers[q] not in fitting for q, fitting in rule.when.items() if q in answers):
            continue
        if open_names:
            return None, questions()[open_names[0]]
        return _advice(rule, answers), None
    raise OptionError(f"No rule fits the answers {dict(answers)}; please report it.")


def parse_answers(words: Iterable[str]) -> dict[str, str]:
    """Return question → answer of ``QUESTION=ANSWER`` words.

    Raises:
        OptionError: a word has no ``=``, or its question or answer is unknown.

    Example:
        >>> parse_answers(["device=cpu"])
        {'device': 'cpu'}
    """
    answers = {}
    for word in words:
        question, equals, answer = word.partition("=")
        if not equals:
            raise OptionError(
                f"Received the answer '{word}'; expected QUESTION=ANSWER, for example device=cpu."
            )
        answers[question] = answer
    _check(answers)
    return answers


def _check(answers: Mapping[str, str]) -> None:
    for question, answer in answers.items():
        if question not in questions():
            raise OptionError(unknown_name("question", question, questions()))
        if answer not in questions()[question].options:
            raise OptionError(unknown_name(f"answer to '{question}'", answer, questions()[question].options))


def _rule(table: Mapping[str, Any]) -> AdviceRule:
    when = {q: frozenset([a] if isinstance(a, str) else a) for q, a in table["when"].items()}
    for question, fitting in when.items():
        for answer in fitting:
            _check({question: answer})
    return AdviceRule(when, table["scheme"], table["why"], table["command"], table["source"])


def _advice(rule: AdviceRule, answers: Mapping[str, str]) -> Advice:
    """The advice of a rule; its path has the questions that the rule needs."""
    path = tuple((q.text, q.options[answers[q.name]].text) for q in questions().values() if q.name in answers)
    return Advice(path, rule.scheme, rule.why, rule.command, rule.source)
