"""Feeds mutants to every reader for a while, and prints how many, and what was found.

    python -m fuzz.run [--seconds 60] [--mutants N] [--seed 0] [--reader graph]

A finding is an exception that is no ``TightfitError``, a mutant that takes over 20 s, or one that needs over
2 GB. The exit code is 1 when there is one; the mutant can be made again from reader, seed and number.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Final

from fuzz.readers import READERS, Reader
from tightfit.errors import TightfitError

LONGEST_S: Final = 20
MOST_BYTES: Final = 2 << 30


class TooLongError(BaseException):
    """A mutant takes over 20 s."""


@dataclass
class Count:
    """What happened: mutants taken, refused, and findings as sentences."""

    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def mutants(self) -> int:
        """How many were fed."""
        return self.taken + self.refused + len(self.findings)


def mutants(reader: Reader, seed: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield numbered mutants; one is the same whenever its seed and number are."""
    seeds = reader.seeds()
    number = start
    while True:
        dice = Random(f"{seed}-{number}")
        yield number, reader.mutate(dice.choice(seeds), dice)
        number += 1


def feed(name: str, seed: int, *, count: int | None = None, seconds: float = 1e9, start: int = 0) -> Count:
    """Feed mutants to one reader until there are so many, or the time is over."""
    reader, found, end = READERS[name], Count(), time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _too_long)
    for number, mutant in mutants(reader, seed, start):
        if time.monotonic() > end or (count is not None and found.mutants >= count):
            return found
        begin = time.monotonic()
        signal.alarm(LONGEST_S)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read(mutant)
            found.taken += 1
        except TightfitError:
            found.refused += 1
        except (Exception, TooLongError) as error:  # noqa: BLE001 - this is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = (
                f"{type(error).__name__}: {str(error)[:100]} ({where.filename.split('/')[-1]}:{where.lineno})"
            )
            found.findings.append(f"{name} seed {seed} mutant {number}: {words}")
        finally:
            signal.alarm(0)
        found.slowest_s = max(found.slowest_s, time.monotonic() - begin)
    return found


def _too_long(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TooLongError


def main() -> int:
    """Runs the readers in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mutants", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--reader", choices=sorted(READERS), action="append")
    asked = parser.parse_args()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, resource.RLIM_INFINITY))
    names, kinds = asked.reader or list(READERS), Counter[str]()
    for name in names:
        found = feed(
            name, asked.seed, count=asked.mutants, seconds=asked.seconds / len(names), start=asked.start
        )
        line = f"{name}: {found.mutants:,} mutants, {found.taken:,} taken, {found.refused:,} refused"
        print(f"{line}, slowest {found.slowest_s:.2f} s, {len(found.findings)} findings", flush=True)
        for finding in found.findings[:20]:
            print(f"  {finding}")
        kinds.update(mutants=found.mutants, findings=len(found.findings))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"in all: {kinds['mutants']:,} mutants, {kinds['findings']:,} findings, {peak:.2f} GB at most")
    return 1 if kinds["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
