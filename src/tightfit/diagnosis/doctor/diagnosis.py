"""What the doctor found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tightfit.diagnosis.doctor.checks import diagnose, not_looked_for
from tightfit.diagnosis.doctor.evidence import (
    Evidence,
    Finding,
)
from tightfit.diagnosis.doctor.slice_checks import power
from tightfit.result import Result, Row, plain


class Diagnosis(Result, list[Finding]):
    """Findings, errors first, with what the samples could not have shown.

    Attributes:
        power: in sentences.
    """

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(diagnose(evidence))
        labelled = sum(s.label is not None for s in evidence.samples)
        said = [power(len(evidence.samples), labelled), not_looked_for(len(evidence.samples), labelled)]
        self.power = " ".join(filter(None, said))

    @property
    def path(self) -> None:
        """A diagnosis writes no file."""

    @property
    def notes(self) -> list[str]:
        """What the samples could not have shown."""
        return [self.power] if self.power else []

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        return {"findings": [plain(finding) for finding in self], "power": self.power}

    def headline(self) -> str:
        """Return how many findings there are."""
        errors = sum(f.severity == "error" for f in self)
        return f"Diagnosis({errors} errors, {len(self) - errors} warnings)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the findings."""
        return ("", "finding", "what", "fix"), [(f.severity, f.kind, f.what, f.fix) for f in self]
