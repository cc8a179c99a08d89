"""The one table of fields, and all that has to agree with it."""

import ast
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type
from sqlalchemy import Table

from connectory.model import ConnectorFact, CountsFact, DescribedEnum, JobFact
from connectory.model.fields import CONNECTOR_FIELDS, COUNTER_FIELDS, JOB_FIELDS, StoredField
from connectory.store.reads.records import ConnectorRecord, JobRecord
from connectory.store.tables import CONNECTORS, JOBS
from schema import build_schema
from tests.paths import ROOT

Fields = tuple[StoredField, ...]
OF_BOTH = pytest.mark.parametrize(
    ("fields", "fact", "record", "table", "name"),
    [
        (CONNECTOR_FIELDS, ConnectorFact, ConnectorRecord, CONNECTORS, "Connector"),
        (JOB_FIELDS, JobFact, JobRecord, JOBS, "Job"),
    ],
)
#: What a fact says and a column does not hold as it is said.
WORKED_UP = {
    ConnectorFact: {
        "details", "is_removed", "worker_seen_at", "schedule_seconds", "is_unscheduled", "parse_errors",
        "transport_errors", "blocks_checkpoint",
    },
    JobFact: {"connector", "details", "stages", "errors", "order_at", "counts"},
}  # fmt: skip
#: What a record has from elsewhere; the counters are read as one.
JOINED = {
    ConnectorRecord: {"system", "is_stale", "joined_conditions", "available_actions"},
    JobRecord: {"system", "counters", "now", "available_actions"},
}
#: What is shown, and is read or worked out from more than a column.
RESOLVED = {
    "Connector": {
        "isStale", "conditions", "availableActions", "jobs", "history", "lastFinishedJob",
    },
    "Job": {"conditions", "availableActions", "errors", "durationSeconds", "earlierStretches"},
    "JobCounts": set(),
    "JobProgress": {"percent", "etaSeconds", "etaBasis"},
}  # fmt: skip
GRAPHQL = {str: "String", int: "Long", float: "Float", bool: "Boolean", datetime: "DateTime"}


def alternatives(hint: Any) -> tuple[Any, bool]:
    """The type of a hint, and whether it may be None."""
    if not isinstance(hint, UnionType):
        return hint, False
    (kind,) = (each for each in get_args(hint) if each is not NoneType)
    return kind, True


@OF_BOTH
def test_columns(fields: Fields, fact: type, record: type, table: Table, name: str) -> None:
    assert [column.name for column in table.columns] == [field.name for field in fields]
    assert [column.nullable for column in table.columns] == [field.null for field in fields]


@OF_BOTH
def test_facts_fill_what_they_are_said_to(fields: Fields, fact: type, record: type, table: Table, name: str) -> None:
    hints = get_type_hints(fact)
    paths = {field.fact: field for field in fields if field.fact}
    for path, field in paths.items():
        hint = get_type_hints(CountsFact)[path.removeprefix("counts.")] if "." in path else hints[path]
        assert alternatives(hint) == (field.type, field.null), field
    assert {path.partition(".")[0] for path in paths} | WORKED_UP[fact] == set(hints)


def test_stored_fingerprints_stay_those_of_their_facts() -> None:
    """They rest on this text: another one, and every job would be looked at anew."""
    assert repr(CountsFact()) == f"CountsFact({', '.join(f'{name}=None' for name in CountsFact._fields)})"


@OF_BOTH
def test_records_hold_columns(fields: Fields, fact: type, record: type, table: Table, name: str) -> None:
    of = {field.name: field for field in fields if field not in COUNTER_FIELDS}
    hints = {name.removesuffix("_text"): hint for name, hint in get_type_hints(record).items() if name != "typename"}
    for attribute in hints.keys() - JOINED[record]:
        kind, null = alternatives(hints[attribute])
        assert kind is of[attribute].type
        assert null is of[attribute].null or attribute == "observed_at", "the system's own time stands in for it"


@OF_BOTH
def test_what_is_shown_is_in_the_schema(fields: Fields, fact: type, record: type, table: Table, name: str) -> None:
    top = build_schema()._schema.get_type(name)
    found: dict[str, set[str]] = {}
    for field in fields:
        if field.shown is None:
            assert field.changed is None
            continue
        kind: Any = top
        for part in field.shown.split("."):
            assert isinstance(kind, GraphQLObjectType)
            found.setdefault(kind.name, set()).add(part)
            kind = get_named_type(kind.fields[part].type)
        if is_leaf_type(kind):
            wanted = field.type.__name__ if issubclass(field.type, DescribedEnum) else GRAPHQL[field.type]
            assert kind.name == {"id": "ID", "expected_runs": "Int"}.get(field.name, wanted), field
    for shown in found.keys() & RESOLVED.keys():
        of = build_schema()._schema.get_type(shown)
        assert isinstance(of, GraphQLObjectType)
        assert set(of.fields) == found[shown] | RESOLVED[shown]


def names_in(path: Path) -> set[str]:
    """Identifiers, and texts that are one word."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Constant(value=str(text)):
                found.add(text)
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.keyword(arg=str(name)):
                found.add(name)
    return found


def test_the_counters_stand_in_one_place() -> None:
    """One of them may be asked for by its name, for what it means; nobody lists them."""
    modules = [path for package in ("connectory", "resolvers") for path in (ROOT / package).rglob("*.py")]
    #: names that mean nothing else: ``deleted`` or ``updated`` may
    counters = {"indexed", "unchanged", *(counter for counter in CountsFact._fields if "_" in counter)}
    listed = {path.relative_to(ROOT).as_posix() for path in modules if len(names_in(path) & counters) > 1}
    assert {path for path in listed if "/migrations/versions/" not in path} == {"connectory/model/fields.py"}


TRIED = """
import asyncio
from dataclasses import replace
from pathlib import Path
import connectory
from connectory.engine.recording.events import JOB_CHANGES
from connectory.engine.recording.progress_tracking import PROGRESS_COLUMNS
from connectory.model import CountsFact, JobStatus
from connectory.store import Store
from connectory.store.tables import JOBS
from sqlalchemy import text
from tests.api.world import Asker
from tests.engine.stage import Stage
from tests.facts import job

assert Path(connectory.__file__).is_relative_to(Path.cwd()), connectory.__file__
QUERY = "{ jobs { nodes { counts { indexed retried volumeBytes } } } }"

async def main():
    store = Store("sqlite:///tried.db")
    await store.open()
    await store.upgrade()
    async with store.write() as connection:  # the migration
        await connection.execute(text("ALTER TABLE jobs ADD COLUMN retried BIGINT"))
    stage = await Stage.open(store)
    run = job("1", status=JobStatus.RUNNING, counts=CountsFact(indexed=1, retried=2, volume_bytes=3))
    position = await stage.poll([], [run])
    assert await stage.poll([], [replace(run, counts=run.counts._replace(retried=7))]) == position + 1
    (node,) = (await Asker(store)(QUERY))["jobs"]["nodes"]
    assert node["counts"] == {"indexed": 1, "retried": 7, "volumeBytes": 3}, node
    await store.close()

asyncio.run(main())
assert JOB_CHANGES["retried"] == "counts"
assert "retried" in PROGRESS_COLUMNS
"""


def test_a_new_counter_is_a_line_a_field_and_a_migration(tmp_path: Path) -> None:
    """Tried in a copy of the code."""
    for package in ("connectory", "resolvers", "schema", "sources", "tests"):
        left_out = shutil.ignore_patterns("__pycache__", "static", "payloads", "proofs", "node_modules")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=left_out)
    for module, before, line in (
        ("connectory/model/fields.py", "    total: int | None = None\n", "    retried: int | None = None\n"),
        (
            "schema/jobs.py",
            "    total: Long | None = strawberry.field(\n        description=\"Everything the job",
            "    retried: Long | None = strawberry.field(description=\"Documents tried again.\")\n",
        ),
    ):  # fmt: skip
        text = (tmp_path / module).read_text()
        assert text.count(before) == 1
        (tmp_path / module).write_text(text.replace(before, line + before))
    command = [sys.executable, "-W", "error", "-c", TRIED]
    tried = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
