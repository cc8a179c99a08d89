"""What holds for all tests: at the end of a run, how many tests were left out for want of which part."""

import re
from collections import Counter
from typing import get_args

import pytest

from tests.missing import Part

pytest_plugins = ["tests.stores"]

#: How ``tests.missing`` begins its reasons.
_REASON = re.compile(rf"(?:Skipped: )?({'|'.join(re.escape(part) for part in get_args(Part))}) is missing: (.*)", re.S)


def count_missing(reasons: list[str]) -> tuple[Counter[str], dict[str, str]]:
    """Tests left out per part, and per part one hint how to get it; other reasons do not count."""
    counts: Counter[str] = Counter()
    hints: dict[str, str] = {}
    for reason in reasons:
        if found := _REASON.match(reason):
            counts[found[1]] += 1
            hints.setdefault(found[1], found[2].strip())
    return counts, hints


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    counts, hints = count_missing([report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)])
    if not counts:
        return
    terminalreporter.section("missing parts")
    for part, count in sorted(counts.items()):
        terminalreporter.line(f"{part}: {count} {'test' if count == 1 else 'tests'} left out; {hints[part]}")
    listed = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
    terminalreporter.line(f"Missing parts: {listed}; {counts.total()} tests left out in all.")
