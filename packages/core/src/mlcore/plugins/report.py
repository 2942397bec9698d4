"""What `mlcore doctor` collects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is: `python`, `store`, `GPU`.
        text: What was found.
        status: How that is.
        hint: What to do about it.
    """

    subject: str
    text: str
    status: Status = "ok"
    hint: str | None = None


@dataclass(slots=True)
class Report:
    """The findings so far.

    Example:
        >>> report = Report()
        >>> report.add("disk", "2 GB free", status="warning", hint="run `mlcore runs gc`")
        >>> report.findings[0].status
        'warning'
    """

    findings: list[Finding] = field(default_factory=list)

    def add(self, subject: str, text: str, *, status: Status = "ok", hint: str | None = None) -> None:
        """Add one finding."""
        self.findings.append(Finding(subject, text, status, hint))
