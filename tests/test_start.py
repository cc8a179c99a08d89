"""What a command imports: it starts at once because it leaves out what it has no need of."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT

#: Libraries that take a tenth of a second and more to import, and rooms of ours that stand for what hangs on them.
_HEAVY = frozenset(
    {
        "aiohttp", "aiohttp.web", "alembic", "asyncpg", "pydantic", "prometheus_client", "sqlalchemy", "strawberry",
        "structlog", "connectory.engine", "connectory.live", "connectory.notices.notices", "connectory.store",
        "resolvers", "schema", "connectory.http.reasons", "sources.simulation",
    }
)  # fmt: skip
_CONFIGURED = frozenset({"pydantic", "sqlalchemy", "structlog"})
#: Command line → what of it may be imported; a configuration with one system lies in the folder.
_MAY_IMPORT: dict[str, frozenset[str]] = {
    "--help": frozenset(),
    "--version": frozenset(),
    # the command line's own library takes it along where a command has options
    "serve --help": frozenset({"pydantic"}),
    "export-schema": frozenset({"pydantic", "sqlalchemy", "strawberry", "connectory.store", "resolvers", "schema"}),
    "db upgrade": _CONFIGURED | {"alembic", "connectory.store"},
    # it tries the store, too
    "check": _CONFIGURED | {"aiohttp", "connectory.http.reasons", "alembic", "connectory.store"},
    "simulate nothing": frozenset({"pydantic", "structlog", "aiohttp", "aiohttp.web", "sources.simulation"}),
    "serve --config nowhere.toml": _CONFIGURED,
    "check --config nowhere.toml": _CONFIGURED,
}
_RUN = """
import json, sys
from connectory.commands.cli import main
sys.argv[0] = "connectory"
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""
_CONFIGURATION = '[[systems]]\nname = "docs"\nkind = "onyx"\nurl = "http://127.0.0.1:1/api"\ntoken = "x"\n'


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[str]]:
    """The names of all modules that a command line has imported by its end."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "connectory.toml").write_text(_CONFIGURATION, encoding="utf-8")

    @cache
    def names(command: str) -> set[str]:
        return modules(_RUN, *command.split(), folder=folder)

    return names


def modules(code: str, *arguments: str, folder: Path = ROOT) -> set[str]:
    """What a program prints as its last line: the names of modules."""
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=120,
        check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", _MAY_IMPORT)
def test_a_command_imports_what_it_needs(command: str, imported: Callable[[str], set[str]]) -> None:
    assert imported(command) & _HEAVY - _MAY_IMPORT[command] == set()


def test_no_command_but_the_simulators_loads_a_simulator(imported: Callable[[str], set[str]]) -> None:
    for command in ("check", "db upgrade"):
        assert [name for name in imported(command) if name.startswith("sources.") and "simulat" in name] == []
        adapters = {name for name in imported(command) if name.startswith("sources.") and name.endswith(".source")}
        assert adapters <= {"sources.onyx.source"}, "the other kinds are declared, not loaded"


def test_what_is_heavy_is_imported_by_somebody() -> None:
    """A name that nobody imports any more would never be found missing."""
    everything = modules(
        "import json, sys; from connectory.commands import demo, gateway; print(json.dumps(sorted(sys.modules)))"
    )
    assert _HEAVY - everything <= {"alembic", "asyncpg"}, "imported when they are used"
    assert not [name for name in everything if name.startswith("sources.") and name.endswith(".simulator")]
