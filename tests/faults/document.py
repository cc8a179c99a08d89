"""docs/faults.md, written from the table: ``python -m tests.faults.document``."""

from collections.abc import Iterable

from tests.faults.table import FAULTS, OPEN, SHAPES, Expected, Fault, Group
from tests.paths import ROOT

PAGE = ROOT / "docs" / "faults.md"

_HEAD = """\
# When a system is in trouble

What `System.health` and `System.lastError` show of each fault, and what happens then. Every line is tested against the
simulator of every kind of system (`tests/faults`): that the fault is shown so, that what is stored of it and of all
other systems stays, that the others are polled meanwhile, that requests stay polite, and that the end of the fault is
seen. A system that answered until then is `DEGRADED` after its first failure and `DOWN` after its second.

This page is written by `python -m tests.faults.document`; do not edit it.
"""

_TITLES: dict[Group, str] = {
    "connection": "It cannot be reached, or falls silent",
    "refusal": "It refuses to answer",
    "answer": "Its answers are not what they should be",
    "clock": "Its clock is wrong",
    "size": "Its answers are huge",
}


def page() -> str:
    parts = [_HEAD]
    for group, title in _TITLES.items():
        parts.append(f"## {title}\n")
        parts.append("\n".join(["| fault | `health` | `lastError.code` | then |", "| --- | --- | --- | --- |"]))
        parts.append("\n".join(_lines(fault for fault in FAULTS if fault.group == group)) + "\n")
    if OPEN:
        parts.append("## Known gaps\n")
        parts.append("\n".join(f"- {kind}, {name}: {reason}." for (name, kind), reason in OPEN.items()) + "\n")
    return "\n".join(parts).replace("| --- |\n\n|", "| --- |\n|")


def _lines(faults: Iterable[Fault]) -> Iterable[str]:
    for fault in faults:
        kinds = [kind for kind in SHAPES if fault.applies_to(kind)]
        usual = [kind for kind in kinds if _shown(fault.shown_by(kind)) == _shown(fault.shows)]
        where = "" if usual == list(SHAPES) else f" ({', '.join(usual)})"
        yield _line(fault.name + where, fault.shows, fault.then)
        for kind in kinds:
            if kind not in usual:
                yield _line(f"{fault.name} ({kind})", fault.shown_by(kind), fault.then)


def _shown(expected: Expected) -> tuple[object, object]:
    return expected.health, expected.code


def _line(name: str, shown: Expected, then: str) -> str:
    return f"| {name} | {shown.health} | {shown.code or 'null'} | {then} |"


if __name__ == "__main__":
    PAGE.write_text(page())
