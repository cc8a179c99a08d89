"""Figures: a proof says what it has measured, and all of them stand together at the end of the run."""

from collections.abc import Callable

import pytest

from tests.faults.fixtures import certificates, grounds
from tests.proofs.size import FULL

__all__ = ["certificates", "grounds"]

#: Beside other proofs it would measure those.
collect_ignore = [] if FULL else ["test_attackers.py"]

Figures = Callable[[str], None]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """Call it with lines of text; they are shown whether the proof holds or not."""
    return lambda text: record_property("figures", text.strip())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    for report in sorted(reports, key=lambda report: report.nodeid):
        for name, text in report.user_properties:
            if name == "figures":
                terminalreporter.section(f"{report.nodeid.rpartition('/')[2]} ({report.duration:.0f} s)")
                terminalreporter.line(str(text))
