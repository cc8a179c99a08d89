"""Writes into the documents what the program knows: ``python docs/generate.py``; ``tests/test_documents.py`` checks."""

import ast
import re
import runpy
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from connectory.config.settings import ConditionsSettings
from connectory.engine.judging.catalogue import MEANINGS, Meaning
from connectory.engine.judging.health import HEALTHS
from connectory.model import Capability, ConditionCode, ConditionSeverity
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
    return _table(rows)


#: The two that are joined when read.
JOINED: Mapping[ConditionCode, Meaning] = {
    ConditionCode.STALE: Meaning(
        severities=(ConditionSeverity.WARNING,),
        raised="the values were last seen before the system's freshness limit, `stale_after`",
        ended="they are seen again",
        evidence={"observedAt": "when they were last seen", "staleAfterSeconds": "the freshness limit"},
    ),
    ConditionCode.SYSTEM_DOWN: Meaning(
        severities=(ConditionSeverity.CRITICAL,),
        raised="the system is DOWN or AUTH_FAILED",
        ended="it answers",
        evidence={
            "system": "its name",
            "health": "DOWN or AUTH_FAILED",
            "errorCode": "why, as in `System.lastError`",
        },
    ),
}


def meanings() -> Mapping[ConditionCode, Meaning]:
    """Every condition, in the order of declaration."""
    known = {**MEANINGS, **JOINED}
    return {code: known[code] for code in ConditionCode}


def conditions() -> str:
    """What each condition means, as a Markdown table."""
    rows = [["condition", "severity", "raised when", "ends when", "settings"], ["---"] * 5]
    for code, meaning in meanings().items():
        severities = ", ".join(severity.name for severity in meaning.severities)
        settings = ", ".join(f"`{name}`" for name in meaning.thresholds)
        rows.append([f"[{code.name}](#{code.name.lower()})", severities, meaning.raised, meaning.ended, settings])
    return _table(rows)


def evidence() -> str:
    """The keys of each condition's evidence, as a Markdown table."""
    rows = [["condition", "key", "tells"], ["---"] * 3]
    for code, meaning in meanings().items():
        rows += [[code.name, f"`{key}`", tells] for key, tells in meaning.evidence.items()]
    return _table(rows)


def health() -> str:
    """What each health follows from, as a Markdown table."""
    rows = [["health", "when"], ["---"] * 2]
    return _table(rows + [[of.name, "; ".join(reasons)] for of, reasons in HEALTHS.items()])


def settings() -> str:
    """The keys of ``[conditions]``, as a Markdown table."""
    rows = [["key", "default", "is"], ["---"] * 3]
    for name, field in ConditionsSettings.model_fields.items():
        rows.append([f"`{name}`", f"`{field.default}`", field.description or ""])
    return _table(rows)


def proofs() -> str:
    """What each proof shows and how much of it, as a Markdown table, from what the modules say of themselves."""
    rows = [["proof", "shows", "size in `make proofs`", "with FULL=1"], ["---"] * 4]
    for file in sorted((ROOT / "tests" / "proofs").glob("test_*.py")):
        docstring = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
        found = re.fullmatch(r"(.*) Size: (.*); FULL=1: (.*)\.", docstring)
        if found is None:
            raise ValueError(f'{file.name} has to say what it shows, then "Size: …; FULL=1: …."')
        rows.append(
            [f"[`{file.name}`](tests/proofs/{file.name})", *(part.replace("``", "`") for part in found.groups())]
        )
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def rooms() -> Mapping[str, set[str]]:
    """Room → the rooms that its modules import. A room is a folder of ``connectory``, or another package; what stands
    in ``connectory`` itself is left out, as everybody may import it."""
    found: dict[str, set[str]] = {}
    for importer, imported in runpy.run_path(str(ROOT / "docs" / "structure.py"))["Code"].of_files().imports.items():
        inside = found.setdefault(_room(importer), set())
        inside |= {_room(module) for module in imported} - {_room(importer)}
    del found[""]
    return {room: others - {""} for room, others in sorted(found.items())}


def _room(module: str) -> str:
    """ "" for what stands in ``connectory`` itself."""
    package, *inner = module.split(".")
    if package != "connectory":
        return package
    folder = f"connectory/{inner[0]}" if inner else ""
    return folder if (ROOT / folder).is_dir() else ""


def drawing() -> str:
    """Who imports whom, as a Mermaid flow chart, without the arrows that follow from others. Raises ValueError where
    two rooms import each other."""
    known = rooms()
    try:
        order = list(TopologicalSorter(known).static_order())
    except CycleError as error:
        raise ValueError(f"rooms import each other: {' → '.join(error.args[1])}") from error
    reached: dict[str, set[str]] = {}
    lines = ["```mermaid", "flowchart TD"]
    for room in order:
        further = {far for near in known[room] for far in reached[near]}
        reached[room] = known[room] | further
        lines += [f"    {room} --> {near}" for near in sorted(known[room] - further)]
    return "\n".join([*lines, "```", ""])


def rooms_table() -> str:
    """What stands in each room, as its package says, as a Markdown table."""
    rows = [["room", "holds"], ["---"] * 2]
    for room in rooms():
        text = (ROOT / room / "__init__.py").read_text(encoding="utf-8")
        summary = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].replace("\n", " ")
        rows.append([f"[`{room}`](../{room})", summary])
    return _table(rows)


#: Document → the tables in it, by the name between its marks.
DOCUMENTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"capabilities": capabilities},
    "CONTRIBUTING.md": {"proofs": proofs},
    "docs/architecture.md": {"drawing": drawing, "rooms": rooms_table},
    "docs/conditions.md": {"conditions": conditions, "evidence": evidence, "health": health, "settings": settings},
}


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
