"""What is stored of enums, times and texts: a value once written must mean the same for ever."""

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import StatementError

from connectory import model
from connectory.model import DescribedEnum, EventKind
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, SYSTEMS
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, external_id, global_id, type_of
from tests.facts import T0

#: Every enum that a column holds, in the order of the numbers that stores hold. New values go to the end.
PINNED = {
    "SystemHealth": "UP DEGRADED DOWN AUTH_FAILED UNKNOWN",
    "SystemErrorCode": "UNREACHABLE TIMEOUT TLS AUTH_FAILED RATE_LIMITED UPSTREAM_ERROR MISMATCH",
    "ConnectorMode": "BATCH STREAMING FEDERATED",
    "ConnectorStatus": "SCHEDULED INITIALIZING ACTIVE PAUSED INACTIVE NEEDS_CONFIGURATION ERROR DELETING UNKNOWN",
    "ConnectorHealth": "HEALTHY DEGRADED FAILING UNKNOWN",
    "AccessType": "PUBLIC PRIVATE SYNC",
    "JobStatus": (
        "PENDING RUNNING SUSPENDED CANCELING SUCCEEDED SUCCEEDED_WITH_ERRORS FAILED CANCELED INTERRUPTED UNKNOWN"
    ),
    "JobType": "FULL INCREMENTAL ACCESS_CONTROL STREAM UNKNOWN",
    "JobTrigger": "ON_DEMAND SCHEDULED UNKNOWN",
    "EventKind": (
        "CONNECTOR_ADDED CONNECTOR_CHANGED CONNECTOR_REMOVED JOB_CREATED JOB_PROGRESSED JOB_CHANGED JOB_FINISHED "
        "SYSTEM_DOWN SYSTEM_RECOVERED SYSTEM_CHANGED GAP"
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_stored_numbers_do_not_move(name: str) -> None:
    of: type[Enum] = getattr(model, name)
    names = PINNED[name].split()
    assert [(member.name, member.value) for member in of][: len(names)] == list(
        zip(names, range(len(names)), strict=True)
    )


def test_every_enum_that_a_column_holds_is_pinned() -> None:
    held = {
        column.type.of.__name__
        for table in (SYSTEMS, CONNECTORS, JOBS, EVENTS)
        for column in table.c
        if hasattr(column.type, "of")
    }
    assert held == set(PINNED)
    assert all(issubclass(getattr(model, name), DescribedEnum) for name in held)


def event(**values: object) -> dict[str, object]:
    return {"position": 1, "at": T0, "kind": EventKind.GAP, "system_id": "s"} | values


async def test_times_come_back_in_utc_and_to_the_microsecond(store: Store) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    async with store.write() as connection:
        await connection.execute(insert(EVENTS), [event(at=moment)])
    async with store.read() as connection:
        found = (await connection.execute(select(EVENTS.c.at))).scalar_one()
    assert found == moment
    assert found.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="without a zone"):
        async with store.write() as connection:
            await connection.execute(insert(EVENTS), [event(at=datetime(2026, 1, 1))])  # noqa: DTZ001


async def test_an_enum_is_stored_as_its_rank(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(insert(EVENTS), [event()])
    async with store.read() as connection:
        assert (await connection.execute(text("SELECT kind FROM events"))).scalar_one() == 10
        assert (await connection.execute(select(EVENTS.c.kind))).scalar_one() is EventKind.GAP


async def test_texts_are_ordered_by_their_bytes_on_both_stores(store: Store) -> None:
    names = ["b", "B", "a", "Z", "ä", "_", "", "é", "日本", "𝄞", "\ufffd"]
    async with store.write() as connection:
        await connection.execute(insert(EVENTS), [event(position=n, message=name) for n, name in enumerate(names)])
    async with store.read() as connection:
        found = (await connection.execute(select(EVENTS.c.message).order_by(EVENTS.c.message))).scalars().all()
    assert list(found) == sorted(names, key=lambda name: name.encode())


async def test_odd_characters_are_replaced_and_harmless_in_criteria(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(insert(EVENTS), [event(message="a\x00b\ud800c")])
    async with store.read() as connection:
        assert (await connection.execute(select(EVENTS.c.message))).scalar_one() == "a\ufffdb\ufffdc"
        none = await connection.execute(select(EVENTS.c.position).where(EVENTS.c.system_id == "\x00"))
        assert none.all() == []


@pytest.mark.parametrize("external", ["1", "a:b:c", "", "ü 日本", "a\x00b", "half \ud800", "c" * 5_000])
@pytest.mark.parametrize("type_name", [CONNECTOR, JOB])
def test_ids_can_be_read_back(type_name: str, external: str) -> None:
    assert external_id(global_id(type_name, "my-system", external)) == external


def test_ids_are_those_of_every_other_store() -> None:
    """Pinned: links to connectors are kept for years."""
    assert global_id(SYSTEM, "onyx") == "U3lzdGVtOm9ueXg="
    assert global_id(CONNECTOR, "onyx", "7") == "Q29ubmVjdG9yOm9ueXg6Nw=="
    assert global_id(JOB, "onyx", "7") == "Sm9iOm9ueXg6Nw=="


@pytest.mark.parametrize("malformed", ["", "x", "====", "U3lzdGVt", "Tm9wZTph", "ü", "U3lzdGVtOg=="])
def test_malformed_ids_have_no_type(malformed: str) -> None:
    assert type_of(malformed) is None


def test_types_of_ids() -> None:
    for name in (SYSTEM, CONNECTOR, JOB):
        assert type_of(global_id(name, "s", "x")) == name
