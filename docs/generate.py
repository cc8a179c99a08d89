"""Writes into the documents what the program knows: ``python docs/generate.py``; ``tests/test_documents.py`` checks."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from connectory.model import Capability
from sources.base import SourceKind
from sources.registry import kinds

ROOT = Path(__file__).parent.parent


def built_in() -> Mapping[str, SourceKind]:
    """The kinds that Connectory ships, by name."""
    return {name: kind for name, kind in sorted(kinds().items()) if kind.settings.__module__.startswith("sources.")}


def capabilities() -> str:
    """Which system can tell or do what, as a Markdown table."""
    systems = built_in()
    rows = [["capability", *systems, ""], ["---"] * (len(systems) + 2)]
    for capability in Capability:
        marks = ["yes" if capability in kind.capabilities else "" for kind in systems.values()]
        rows.append([capability.name, *marks, capability.description])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


#: Document → the tables in it, by the name between its marks.
DOCUMENTS: Mapping[str, Mapping[str, Callable[[], str]]] = {"README.md": {"capabilities": capabilities}}


def generated(document: str) -> str:
    """The document with its tables written anew. Raises ValueError when it lacks a mark."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, write in DOCUMENTS[document].items():
        parts = re.split(rf"(<!-- {name}: [^\n]*-->\n|<!-- /{name} -->)", text)
        if len(parts) != 5:
            raise ValueError(f"{document} has no place for {name}")
        text = "".join([*parts[:2], write(), *parts[3:]])
    return text


if __name__ == "__main__":
    for name in DOCUMENTS:
        (ROOT / name).write_text(generated(name), encoding="utf-8")
