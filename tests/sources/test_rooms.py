"""Where things stand in ``sources``: the same names in each kind's folder, and who may import whom there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

_SOURCES = ROOT / "sources"
#: Folders of built-in kinds.
_KINDS = ("elastic", "feldera", "lucidworks", "onyx", "zensearch")
_ADAPTER = frozenset({"__init__", "settings", "source", "client", "mapping"})
_SIMULATOR = frozenset({"__init__", "app", "routes", "checks", "views", "world", "population"})
#: Who knows simulators though it is none: the port names the type, for a type checker's eyes only.
_KNOWS_SIMULATORS = _SOURCES / "base.py"
#: What of Connectory sources may know, and what each of these may know of the others.
_GROUND = ("connectory.model", "connectory.http", "connectory.redaction")


def imported(text: str) -> Iterator[str]:
    """The modules that a module's text imports, and what it takes from them: either may be a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_simulator(module: str) -> bool:
    room = module.split(".")
    return room[:2] == ["sources", "simulation"] or (room[0] == "sources" and room[2:3] == ["simulator"])


def adapters_imports(text: str) -> list[str]:
    """What a module that is no simulator's imports of simulators."""
    return [module for module in imported(text) if is_simulator(module)]


def simulators_imports(text: str, kind: str) -> list[str]:
    """What a module of this kind's simulator imports of ours beside that simulator and what all of them share."""
    ours = ("sources", "connectory", "schema", "resolvers")
    own = ["sources", kind, "simulator"]
    rooms = [module for module in imported(text) if module.split(".")[0] in ours]
    return [room for room in rooms if room.split(".")[:3] != own and not room.startswith("sources.simulation")]


def modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found
    return found


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")}


def test_of_connectory_only_the_ground_is_known() -> None:
    """The contracts of import-linter name the rooms that are forbidden; this holds for those of tomorrow, too."""
    ground = [*modules(ROOT / "connectory" / "http"), ROOT / "connectory" / "redaction.py"]
    for path in (*modules(_SOURCES), *ground):
        for module in imported(path.read_text(encoding="utf-8")):
            room = ".".join(module.split(".")[:2])
            assert not module.startswith("connectory") or room in _GROUND, f"{path} imports {module}"


def test_every_folder_is_a_kind_or_what_simulators_share() -> None:
    folders = {path.parent.name for path in _SOURCES.glob("*/__init__.py")}
    assert folders == {*_KINDS, "simulation"}


@pytest.mark.parametrize("kind", _KINDS)
def test_a_kind_has_the_names_of_every_kind(kind: str) -> None:
    folder = _SOURCES / kind
    assert names(folder) >= _ADAPTER
    assert names(folder / "simulator") >= _SIMULATOR
    assert {path.name for path in folder.iterdir() if path.is_dir()} - {"__pycache__"} == {"simulator"}
    for path in modules(folder):
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(statements) > 1 or path == folder / "simulator" / "__init__.py", f"{path} is there for its name"


def test_adapters_know_no_simulator() -> None:
    """The declaration of a kind names its simulator by text, which loads it when it is wanted."""
    for path in modules(_SOURCES):
        room = path.relative_to(_SOURCES).parts
        if room[0] != "simulation" and "simulator" not in room and path != _KNOWS_SIMULATORS:
            assert adapters_imports(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize("kind", _KINDS)
def test_a_simulator_knows_no_adapter(kind: str) -> None:
    """It is our reading of the upstream, not of what the adapter makes of it."""
    for path in modules(_SOURCES / kind / "simulator"):
        assert simulators_imports(path.read_text(encoding="utf-8"), kind) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "from sources.onyx.simulator.world import OnyxWorld",
        "from sources.onyx import simulator",
        "import sources.onyx.simulator",
        "from sources.simulation import Clock",
        "from sources import simulation",
        "def late():\n    from sources.onyx.simulator import app",
    ],
)
def test_an_adapter_that_imports_a_simulator_is_found(text: str) -> None:
    assert adapters_imports(text)


@pytest.mark.parametrize(
    "text",
    [
        "from sources.onyx.mapping import job",
        "from sources.onyx import mapping",
        "from sources.elastic.simulator.world import ElasticWorld",
        "from sources import reading",
        "from connectory.model import JobFact",
    ],
)
def test_a_simulator_that_imports_anything_else_is_found(text: str) -> None:
    assert simulators_imports(text, "onyx")
