"""Sentences to compare models with: pairs that say the same, and prose of Python's own help pages."""

from __future__ import annotations

import pydoc_data.topics
import random
import re

PARAPHRASES: tuple[tuple[str, str], ...] = (
    ("The cat is sleeping on the sofa.", "A cat naps on the couch."),
    ("How do I reset my password?", "What are the steps to change a forgotten password?"),
    ("The train to Hamburg leaves at nine.", "At nine o'clock the train departs for Hamburg."),
    ("She bought a new bicycle last week.", "Last week she got herself a new bike."),
    ("Heavy rain flooded several streets.", "A number of roads were under water after the downpour."),
    ("The company reported higher profits this year.", "Earnings of the firm rose this year."),
    ("Children are playing football in the park.", "Kids play soccer in the park."),
    ("He forgot to switch off the lights.", "He left the lamps on by mistake."),
    ("The doctor told me to drink more water.", "My physician advised me to drink more water."),
    ("This film was boring and far too long.", "The movie dragged on and was dull."),
    ("Solar panels turn sunlight into electricity.", "Sunlight is converted to power by solar cells."),
    ("The museum is closed on Mondays.", "On Mondays the museum does not open."),
    ("A man is cutting vegetables in the kitchen.", "Someone chops vegetables in a kitchen."),
    ("The phone's battery does not last a day.", "This mobile runs out of charge before evening."),
    ("They postponed the meeting until Friday.", "The meeting was moved to Friday."),
    ("The river is frozen in winter.", "In winter, ice covers the river."),
    ("Two dogs run across a snowy field.", "A pair of dogs is running through snow."),
    ("Please turn the music down.", "Could you lower the volume of the music?"),
    ("The bridge was built a hundred years ago.", "That bridge is a century old."),
    ("I could not log in to my account.", "Signing in to my account failed."),
)
"""Pairs of short sentences with one meaning; sentences of different pairs have little in common."""

_SENTENCE = re.compile(r"[A-Z][^.!?\n*`\[\]>|]{30,220}[.!?]")


def prose(count: int, seed: int = 0) -> list[str]:
    """Gives that many different sentences of Python's help pages, which every Python has.

    Raises:
        ValueError: there are not so many.
    """
    text = " ".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))
    text = re.sub(r"\n(?!\n) *", " ", text)
    found = list(dict.fromkeys(m[0] for m in _SENTENCE.finditer(text)))
    if len(found) < count:
        raise ValueError(f"The help pages have {len(found)} sentences, fewer than {count}.")
    return random.Random(seed).sample(found, count)  # noqa: S311 - a sample, no secret
