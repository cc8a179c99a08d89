"""Whether a store holds what the systems serve, and whether its log tells of it consistently; in sentences."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select, text

from connectory.engine.judging.health import connector_health
from connectory.engine.memory.open_jobs import ESTIMATES
from connectory.model import ConnectorStatus, EventKind, JobStatus, SystemHealth
from connectory.store import Store
from connectory.store.reads.rows import newest_jobs
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOB_ERRORS, JOBS, SYSTEMS
from connectory.store.tables.identity import CONNECTOR, JOB, external_id, global_id
from sources.base import ROLLED_UP

Row = dict[str, Any]

#: Columns of ours that tell how the store came to its rows and what was made of them, not what the systems said.
_BOOKKEEPING = frozenset(
    {
        "observed_at", "missed_polls", "history_read", "fingerprint", "examine_due", "removed_at", "created_order",
        "status_since", "first_seen_at", "blocks_since", "worker_moved_at", "parse_errors", "transport_errors",
        "longest_quiet", "moved_at", "waiting_since", "health", *ESTIMATES,
    }
)  # fmt: skip
#: Columns of a connector that follow from its jobs, where its kind leaves them to these.
_FROM_JOBS = ROLLED_UP | {"latest_job_id"}
#: Where the upstream's number of documents stands, by the kind of its system.
_COUNTED = {"onyx": "indexed", "elastic": "indexed", "lucidworks": "counted_total"}
_CONNECTOR_KINDS = (EventKind.CONNECTOR_ADDED, EventKind.CONNECTOR_CHANGED, EventKind.CONNECTOR_REMOVED)


async def rows(store: Store, table: Any) -> dict[Any, Row]:
    """A whole table by its key."""
    keys = [column.name for column in table.primary_key.columns]
    async with store.read() as connection:
        found = [dict(row) for row in (await connection.execute(select(table))).mappings()]
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in found}


# ---- two stores


async def differences(soaked: Store, fresh: Store) -> tuple[list[str], Counter[str]]:
    """What ``soaked`` lacks or tells otherwise than ``fresh``, and how often which column tells more."""
    found: list[str] = []
    more: Counter[str] = Counter()
    here, there = await rows(soaked, CONNECTORS), await rows(fresh, CONNECTORS)
    richer = await _knowing_more_jobs(soaked, fresh)
    for id, connector in there.items():
        row = here.get(id)
        if row is None:
            found.append(f"connector {_named(connector)} is lacking")
        elif bool(row["removed_at"]) != bool(connector["removed_at"]):
            found.append(
                f"connector {_named(connector)} removed: {bool(row['removed_at'])}, not {bool(connector['removed_at'])}"
            )
        else:
            theirs = connector if id not in richer else {**connector, **{name: row[name] for name in _FROM_JOBS}}
            found += _unlike("connector", row, theirs, Counter())
    found += await _rolled_up_wrongly(soaked, list(here.values()))
    found += [
        f"connector {_named(row)} is shown and not served"
        for id, row in here.items()
        if id not in there and not row["removed_at"]
    ]
    here, there = await rows(soaked, JOBS), await rows(fresh, JOBS)
    for id, job in there.items():
        row = here.get(id)
        found += _unlike("job", row, job, more) if row else [f"job {_named(job)} ({job['status']}) is lacking"]
    found += [f"job {_named(row)} is open and not served" for id, row in here.items() if id not in there and _open(row)]
    found += _misplaced(here.values())
    found += await _unlike_errors(soaked, fresh)
    return found, more


async def _knowing_more_jobs(soaked: Store, fresh: Store) -> set[str]:
    """Connectors of which ``soaked`` remembers jobs that are not served any more: these decide what is rolled up."""
    there = await rows(fresh, JOBS)
    return {row["connector_id"] for id, row in (await rows(soaked, JOBS)).items() if id not in there}


async def _rolled_up_wrongly(store: Store, connectors: list[Row]) -> list[str]:
    """Connectors that do not name the newest of their jobs."""
    async with store.read() as connection:
        newest = await newest_jobs(connection, [row["id"] for row in connectors])
    latest = {id: job["id"] if (job := jobs["latest"]) else None for id, jobs in newest.items()}
    return [
        f"connector {_named(row)}: its latest job is {row['latest_job_id']}, not {latest[row['id']]}"
        for row in connectors
        if row["latest_job_id"] != latest[row["id"]]
    ]


def _unlike(what: str, row: Row, expected: Row, more: Counter[str]) -> list[str]:
    left, right = _spread(row), _spread(expected)
    found = []
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name), right.get(name)
        if mine == theirs:
            continue
        if theirs is None:
            more[name] += 1
        if theirs is not None or what == "connector":
            found.append(f"{what} {_named(row)}: {name} is {mine!r}, not {theirs!r}")
    return found


def _spread(row: Row) -> Row:
    """The columns that count, with each field of the details as one of them."""
    details = json.loads(row["details"] or "{}")
    shown = {name: value for name, value in row.items() if name not in _BOOKKEEPING and name != "details"}
    if "created_order" in row and row["sequence"] is None:  # else it depends on the jobs next to it that were known
        shown["created_order"] = row["created_order"]
    return shown | {f"details.{name}": value for name, value in details.items()}


def _misplaced(jobs: Iterable[Row]) -> Iterator[str]:
    """Jobs whose places contradict their numbers."""
    by_system: dict[str, list[Row]] = defaultdict(list)
    for row in jobs:
        if row["sequence"] is not None:
            by_system[row["system_id"]].append(row)
    for numbered in by_system.values():
        numbered.sort(key=lambda row: row["sequence"])
        for before, after in pairwise(numbered):
            if before["created_order"] >= after["created_order"]:
                yield f"job {_named(after)} does not stand behind {_named(before)}"


async def _unlike_errors(soaked: Store, fresh: Store) -> list[str]:
    """Failed documents, where both have looked for them."""
    here, there = await rows(soaked, JOB_ERRORS), await rows(fresh, JOB_ERRORS)
    return [
        f"document {position} of job {external_id(job)}: {here.get((job, position))}, not {document}"
        for (job, position), document in there.items()
        if here.get((job, position)) != document
    ]


def _named(row: Row) -> str:
    return f"{row['external_id']} ({row['id']})"


def _open(row: Row) -> bool:
    return bool(row["is_open"])


# ---- a store and a world


async def against_world(store: Store, kind: str, system: str, world: Mapping[str, Any]) -> list[str]:
    """``world`` as ``bench/upstreams.py`` tells a world; ids that it gives twice are left out."""
    found = []
    connectors, jobs = await rows(store, CONNECTORS), await rows(store, JOBS)
    names = {global_id(CONNECTOR, system, id): name for id, name in world["connectors"].items()}
    system_id = next(id for id, row in (await rows(store, SYSTEMS)).items() if row["name"] == system)
    shown = {id for id, row in connectors.items() if row["system_id"] == system_id and not row["removed_at"]}
    found += [f"connector {external_id(id)} of {system} is lacking" for id in names.keys() - shown]
    found += [f"connector {external_id(id)} of {system} is not served" for id in shown - names.keys()]
    for id in names.keys() & shown:
        if names[id] and connectors[id]["name"] != names[id]:
            found.append(f"connector {external_id(id)} of {system}: {connectors[id]['name']!r}, not {names[id]!r}")
    times = Counter(id for id, *_ in world["jobs"])
    for id, _, word, number in world["jobs"]:
        row = jobs.get(global_id(JOB, system, id))
        if row is None:
            found.append(f"job {id} of {system} ({word}) is lacking")
        elif word is not None and times[id] == 1:
            mine = (row["upstream_status"], row[_COUNTED[kind]])
            found += [f"job {id} of {system}: {mine}, not {(word, number)}"] if mine != (word, number) else []
    return found


# ---- the log


async def inconsistencies(store: Store) -> list[str]:
    """What is wrong with the file and the log: holes, things told twice, statuses that do not follow each other."""
    found = []
    async with store.read() as connection:
        if store.is_sqlite:
            lines = (await connection.execute(text("PRAGMA integrity_check"))).scalars().all()
            found += [] if lines == ["ok"] else [f"integrity_check: {line}" for line in lines]
        head = (await connection.execute(text("SELECT position FROM log_head"))).scalar_one()
    events = [row for _, row in sorted((await rows(store, EVENTS)).items())]
    if [row["position"] for row in events] != list(range(1, head + 1)):
        found.append(f"the log has holes: {len(events)} rows, head {head}")
    by_job, by_connector, by_system = (_grouped(events, key) for key in ("job_id", "connector_id", "system_id"))
    jobs, connectors = await rows(store, JOBS), await rows(store, CONNECTORS)
    for id, row in jobs.items():
        history = by_job[id]
        name = f"job {_named(row)}"
        kinds = Counter(event["kind"] for event in history)
        if kinds[EventKind.JOB_CREATED] != 1 or history[0]["kind"] is not EventKind.JOB_CREATED:
            found.append(f"{name}: created {kinds[EventKind.JOB_CREATED]} times, first {history[:1]}")
        if kinds[EventKind.JOB_FINISHED] > 1:
            found.append(f"{name}: finished {kinds[EventKind.JOB_FINISHED]} times: {_story(history, JobStatus)}")
        found += _broken(name, history, "status", row["status"].value, JobStatus)
    for id, row in connectors.items():
        history = [event for event in by_connector[id] if event["kind"] in _CONNECTOR_KINDS]
        name = f"connector {_named(row)}"
        found += _broken(name, history, "status", row["status"].value, ConnectorStatus)
        found += _broken(name, history, "health", row["health"].value)
        found += [f"{name}: {mistake}" for mistake in _comings(history, is_there=row["removed_at"] is None)]
    for id, row in (await rows(store, SYSTEMS)).items():
        history = [event for event in by_system[id] if not event["job_id"] and not event["connector_id"]]
        found += _broken(f"system {row['name']}", history, "health", row["health"].value, SystemHealth)
    strangers = {job for job in by_job if job} - jobs.keys()
    found += [f"the log tells of a job that is not there: {external_id(job)}" for job in strangers]
    return found + await _misjudged(store, connectors, jobs)


async def _misjudged(store: Store, connectors: Mapping[str, Row], jobs: Mapping[str, Row]) -> list[str]:
    """Healths that do not follow from their row and its conditions; conditions of what has ended or is removed."""
    found, shown = [], defaultdict(list)
    for row in (await rows(store, CONDITIONS)).values():
        shown[row["connector_id"]].append(row["severity"])
        if row["job_id"] is not None and not jobs[row["job_id"]]["is_open"]:
            found.append(f"{row['code']} of job {external_id(row['job_id'])}, which has ended")
        if connectors[row["connector_id"]]["removed_at"]:
            found.append(f"{row['code']} of connector {external_id(row['connector_id'])}, which is removed")
    for id, row in connectors.items():
        worst = max(shown[id], key=lambda severity: severity.value, default=None)
        health = connector_health(SimpleNamespace(**row), worst)
        if health is not row["health"]:
            found.append(f"connector {_named(row)} is {row['health']}, not {health}")
    return found


def _grouped(events: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for event in events:
        found[event[key]].append(event)
    return found


def _broken(name: str, events: list[Row], what: str, now: int, words: Callable[[Any], Any] = int) -> list[str]:
    """Whether each event goes on where the one before ended, and the last one at the present."""
    values: list[int | None] = [event[what] for event in events]
    before = [event[f"previous_{what}"] for event in events]
    if not events:
        return [f"{name}: the log does not tell of it"]
    if before[1:] != values[:-1] or values[-1] != now:
        return [f"{name}: {what} {_story(events, words, what)}, now {words(now)}"]
    return []


def _comings(events: list[Row], *, is_there: bool) -> Iterator[str]:
    """Added and removed take turns."""
    kinds = [event["kind"] for event in events if event["kind"] is not EventKind.CONNECTOR_CHANGED]
    if any(first is second for first, second in pairwise(kinds)):
        yield f"comes and goes as {[str(kind) for kind in kinds]}"
    if kinds and (kinds[-1] is EventKind.CONNECTOR_ADDED) != is_there:
        yield f"ends with {kinds[-1]}, and is {'there' if is_there else 'removed'}"


def _story(events: list[Row], words: Callable[[Any], Any], what: str = "status") -> str:
    def word(value: int | None) -> str:
        return "-" if value is None else str(words(value))

    return ", ".join(f"{word(event[f'previous_{what}'])}>{word(event[what])} #{event['position']}" for event in events)
