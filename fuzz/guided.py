"""The same readers under atheris, which mutates by what code it reaches (the extra ``fuzz``).

python -m fuzz.guided graph -max_total_time=60
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tightfit"]):
    from fuzz.readers import READERS
    from tightfit.errors import TightfitError


def main() -> None:
    """Fuzzes the reader of the first argument; the others are libFuzzer's."""
    reader = READERS[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        try:
            reader.read(data)
        except TightfitError:
            return

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
