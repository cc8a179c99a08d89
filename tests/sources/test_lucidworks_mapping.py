"""What the adapter makes of Lucidworks' data sources and crawls: every example, and nothing in them is lost."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobFact, JobStatus, Known
from sources.lucidworks import fusion_mapping, mapping
from sources.lucidworks.runs import Run
from sources.lucidworks.survey import history_of
from sources.reading import LenientReader
from tests.sources.canned import Asked, Reply
from tests.sources.cases import cases
from tests.sources.contract import remember
from tests.sources.lucidworks_stage import (
    ALL_HISTORY,
    ALL_STATUS,
    COLLECTIONS,
    EXCEPTION,
    FUSION_HISTORIES,
    FUSION_LIST,
    FUSION_RUNS,
    HISTORIES,
    LISTS,
    STATUSES,
    TIMELINE,
    knows,
    listed,
    lucidworks,
    one_collection,
    path,
    read,
    told,
)
from tests.sources.onyx_stage import Answer
from tests.sources.payloads import leaves


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- states


#: file → status of the data source, status of the crawl
EXPECTED_STATES: dict[str, tuple[str, str | None]] = {
    "assumed/status.never_run_null_body": ("INACTIVE", None),
    "assumed/status.unlisted_word_error": ("UNKNOWN", "UNKNOWN"),
    "documented/status.all_counters": ("ACTIVE", "SUCCEEDED_WITH_ERRORS"),
    "documented/status.finished": ("ACTIVE", "SUCCEEDED_WITH_ERRORS"),
    "documented/status.finished.nothing_found": ("ACTIVE", "SUCCEEDED"),
    "documented/status.finished.recrawl": ("ACTIVE", "SUCCEEDED_WITH_ERRORS"),
    "documented/status.running": ("ACTIVE", "RUNNING"),
    "documented/status.stopped": ("ACTIVE", "CANCELED"),
    "implementation/status.aborted": ("ACTIVE", "CANCELED"),
    "implementation/status.aborting": ("ACTIVE", "CANCELING"),
    "implementation/status.exception": ("ERROR", "FAILED"),
    "implementation/status.finishing": ("ACTIVE", "RUNNING"),
    "implementation/status.idle_never_run": ("INACTIVE", None),
    "implementation/status.running": ("ACTIVE", "RUNNING"),
    "implementation/status.starting": ("ACTIVE", "PENDING"),
    "implementation/status.stopped": ("ACTIVE", "CANCELED"),
    "implementation/status.stopping": ("ACTIVE", "CANCELING"),
    "implementation/status.unknown": ("UNKNOWN", None),
}


@cases("name", STATUSES)
@cases("together", [True, False])
async def test_statuses_are_read_without_a_problem(name: str, together: bool) -> None:
    sent = read(name)
    number = sent["id"] if sent else 6
    answers = one_collection([listed(number)], ([sent] if sent else []) if together else None)
    answers[path("c", number, "status")] = Reply(sent)
    async with lucidworks(answers) as (source, _):
        seen = await source.poll(Known())
    assert (seen.complete, seen.problems) == (True, [])
    (fact,) = seen.connectors
    state, crawl = EXPECTED_STATES[name.removeprefix("search_2x/").removesuffix(".response.json")]
    assert fact.external_id == f"c/{number}"
    assert fact.status is ConnectorStatus[state]
    assert fact.upstream_status == (sent and sent["crawl_state"])
    assert [(job.status.name, job.upstream_status) for job in seen.jobs] == (
        [(crawl, sent["crawl_state"])] if crawl else []
    )
    for job in seen.jobs:
        assert job.completed_at == (sent["crawl_stopped"] and instant(sent["crawl_stopped"]))
        ended = sent["crawl_stopped"] is not None
        documents = sent["num_new"] + sent["num_updated"] + sent["num_unchanged"]
        assert job.docs_in_index == (documents if ended else None)


def test_a_crawl_in_full() -> None:
    entry = LenientReader(read("search_2x/documented/status.all_counters.response.json"))
    run = mapping.run(entry)
    assert run is not None
    job = run.job("collection1/8")
    assert not entry.complaints
    assert job == JobFact(
        external_id="collection1/8@2013-07-01T22:00:00+0000",
        connector="collection1/8",
        status=JobStatus.SUCCEEDED_WITH_ERRORS,
        upstream_status="FINISHED",
        counts=CountsFact(
            indexed=1600,
            added=1000,
            updated=600,
            deleted=40,
            unchanged=50000,
            failed=13,
            access_denied=5,
            filter_denied=220,
            robots_denied=77,
            not_found=41,
            total=51996,
        ),
        processed=51996,
        started_at=datetime(2013, 7, 1, 22, tzinfo=UTC),
        completed_at=datetime(2013, 7, 2, 1, 12, 9, tzinfo=UTC),
        order_at=datetime(2013, 7, 1, 22, tzinfo=UTC),
        docs_in_index=51600,
        details=job.details,
    )
    assert job.details is not None
    assert job.details.type == "LucidworksJobDetails"
    assert told(job.details) == {"batch_job": False, "crawl_state": "FINISHED", "extra": {"job_id": "8"}}


def test_a_failed_crawl_tells_why() -> None:
    sent = read(EXCEPTION)
    for message in (sent["message"], None, ""):
        run = mapping.run(LenientReader({**sent, "message": message}))
        assert run is not None
        assert run.message == (message or "Connection refused")
        assert run.extra["exception"] == sent["exception"]
    fact = mapping.connector(LenientReader(listed(6)), "c", LenientReader(sent))
    assert fact.error_message == "java.net.ConnectException: Connection refused"


def test_the_vocabulary_is_that_of_the_pages() -> None:
    assert len(mapping.JOB_STATUS) == 11
    assert mapping.CONNECTOR_STATUS.keys() == {None, *mapping.JOB_STATUS}


def test_every_status_has_its_expected_state() -> None:
    assert {f"search_2x/{name}.response.json" for name in EXPECTED_STATES} == set(STATUSES)


def test_a_counter_that_is_not_sent_is_null() -> None:
    (run,) = history_of(read("search_2x/documented/history.old_entry_fewer_counters.response.json"), mapping.run).runs
    assert run.counts == CountsFact(
        indexed=3, added=3, updated=0, deleted=0, unchanged=0, failed=0, not_found=0, total=3
    )
    assert run.batch_job is None


def test_an_end_before_the_start_is_no_end() -> None:
    sent = read("search_2x/documented/status.finished.response.json")
    entry = LenientReader({**sent, "crawl_stopped": "2013-03-04T09:14:59+0000"})
    run = mapping.run(entry)
    assert run is not None
    assert run.stopped is None
    assert entry.complaints == ["crawl_stopped: earlier than crawl_started"]
    running = mapping.run(LenientReader({**sent, "crawl_state": "RUNNING"}))
    assert running is not None
    assert (running.stopped, running.docs_in_index) == (None, None)


# ---- data sources


@cases("name", LISTS)
async def test_data_sources_are_read_without_a_problem(name: str) -> None:
    sent = read(name)
    sources = sent if isinstance(sent, list) else [sent]
    async with lucidworks(one_collection(sources, [], "collection1")) as (source, _):
        seen = await source.poll(Known())
    assert (seen.complete, seen.problems) == (True, [])
    assert [(fact.external_id, fact.name, fact.source) for fact in seen.connectors] == [
        (f"collection1/{each['id']}", each["name"], each["type"]) for each in sources
    ]
    assert "NOT-A-REAL-SECRET" not in repr(seen)


def test_a_data_source_in_full() -> None:
    sent = read("search_2x/documented/datasource.get.response.json")
    status = LenientReader(read("search_2x/documented/status.running.response.json"))
    fact = mapping.connector(LenientReader(sent), "collection1", status)
    assert fact == ConnectorFact(
        external_id="collection1/6",
        name="Company web site",
        source="web",
        status=ConnectorStatus.ACTIVE,
        upstream_status="RUNNING",
        details=fact.details,
    )
    assert fact.details is not None
    assert fact.details.type == "LucidworksDataSourceDetails"
    rest = {key: value for key, value in sent.items() if key not in ("id", "name", "collection")}
    assert told(fact.details) == {
        "collection": "collection1",
        "collection_extra": None,
        "data_source_id": "6",
        "batch_job": False,
        "crawl_state": "RUNNING",
        "job_id": "6",
        "extra": rest,
    }


def test_a_data_source_without_a_name_gets_one() -> None:
    assert mapping.connector(LenientReader({"id": 6, "type": "web", "name": " "}), "c", None).name == "web 6"
    assert mapping.connector(LenientReader({"id": 6}), "c", None).name == "data source 6"


async def test_collections_are_read() -> None:
    answers: dict[str, Answer] = {"GET /api/collections": Reply(read(COLLECTIONS))}
    answers |= {path(name): Reply([]) for name in ("collection1", "LucidWorksLogs")}
    async with lucidworks(answers) as (source, upstream):
        assert (await source.poll(Known())).complete
    assert len(upstream.asked) == 3


# ---- history


@cases("name", HISTORIES)
async def test_histories_are_read_without_a_problem(name: str) -> None:
    sent = read(name)
    async with lucidworks(one_collection([listed(6)], [], h6=Reply(sent))) as (source, _):
        seen = await source.poll(knows(latest=None, open_jobs=[59]))
    assert not seen.problems
    assert sorted(job.started_at for job in seen.jobs if job.started_at) == [instant(e["crawl_started"]) for e in sent]


async def test_all_at_once() -> None:
    answers = {
        **one_collection([listed(6), listed(7), listed(8)], read(ALL_STATUS)),
        path("c", "all", "history"): Reply(read(ALL_HISTORY)),
    }
    async with lucidworks(answers) as (source, _):
        known = remember(Known(), await source.poll(Known()))
        batches = [batch async for batch in source.history(known, frozenset({f"c/{n}" for n in (6, 7, 8, 9)}))]
    jobs = [(job.external_id, job.status.name) for batch in batches for job in batch.jobs]
    assert jobs == [("c/6@2014-05-05T07:00:00+0000", "SUCCEEDED"), ("c/7@2014-05-05T08:00:00+0000", "RUNNING")]
    assert frozenset().union(*(batch.finished for batch in batches)) == known.connectors.keys() | {"c/9"}


# ---- nothing is lost

#: keys whose values are found elsewhere or say nothing → why
LEFT_OUT = {
    "collection": "part of the data source's id, and a field of its own where it is listed",
    "crawl_stopped": "null while active",
    "message": "null while nothing failed",
    "resource": "names the data source, whose id it is made of",
    "dataSourceId": "the data source's id",
    "error": "null while nothing failed",
}


def keyed(value: Any) -> Iterator[tuple[str, Any]]:
    """The values that hold no other, each with the last key on the way to it."""
    for steps, leaf in leaves(value):
        if leaf not in ({}, []):
            yield next((step for step in reversed(steps) if isinstance(step, str)), ""), leaf


def shown(value: Any) -> Iterator[Any]:
    """Everything that a fact says, its details decoded."""
    for name, field in vars(value).items():
        if name == "details":
            yield from (leaf for _, leaf in keyed(told(field)))
        elif isinstance(field, CountsFact):
            yield from (getattr(field, slot) for slot in CountsFact._fields)
        else:
            yield field


def assert_nothing_lost(sent: Any, facts: list[Any]) -> None:
    said = [each for fact in facts for each in shown(fact)]
    texts = {str(each) for each in said}
    for key, value in keyed(sent):
        if key in LEFT_OUT and (value is None or key in ("collection", "resource", "dataSourceId")):
            continue
        if key == "password":
            assert value not in said
            continue
        forms = {str(value)}
        if isinstance(value, int) and value > 10**12:
            forms.add(str(datetime.fromtimestamp(value / 1000, UTC)))
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
            forms.add(str(datetime.fromisoformat(value).astimezone(UTC)))
        assert forms & texts, f"{key}: {value}"


CARRIED = [name for name in (*STATUSES, *HISTORIES, *LISTS) if read(name)]


@cases("name", CARRIED)
def test_every_field_is_in_a_fact(name: str) -> None:
    sent = read(name)
    for entry in sent if isinstance(sent, list) else [sent]:
        if name in LISTS:
            assert_nothing_lost(entry, [mapping.connector(LenientReader(entry), "collection1", None)])
            continue
        run = mapping.run(LenientReader(entry))
        facts = [mapping.connector(LenientReader(listed(entry["id"])), "c", LenientReader(entry))]
        if run is None:  # zeros of no crawl
            entry = {key: value for key, value in entry.items() if not (key.startswith("num_") and value == 0)}
        assert_nothing_lost(entry, [*facts, *([run.job("c/6")] if run else [])])


@cases("name", [*FUSION_RUNS, FUSION_LIST, *FUSION_HISTORIES])
def test_every_field_of_fusion_is_in_a_fact(name: str) -> None:
    sent = read(name)
    for entry in sent if isinstance(sent, list) else [sent]:
        number = str(entry.get("id") or entry["resource"].removeprefix("datasource:"))
        run = fusion_mapping.run(LenientReader(entry))
        facts = [fusion_mapping.connector(number, LenientReader({"id": number}), LenientReader(entry))]
        assert_nothing_lost(entry, [*facts, *([run.job(number)] if run else [])])


# ---- a run from start to end


async def test_the_timeline_of_two_runs() -> None:
    """Polled once at each moment, with the history as long as it then is."""
    steps = [step for step in read(TIMELINE) if step["request"].startswith("GET")]
    known, story, now = Known(), [], dict[str, Any]()
    ended: list[Any] = []

    def history(_: Asked) -> Reply:
        return Reply(ended[: now["history_length"]])

    answers: dict[str, Answer] = {
        **one_collection([listed(6)], h6=history),
        path("c", 6, "status"): lambda _: Reply(now["response"]),
    }
    async with lucidworks(answers) as (source, _):
        for now in steps:
            if now["history_length"] > len(ended):
                ended.append(now["response"])
            seen = await source.poll(known)
            assert not seen.problems
            assert not seen.gone_jobs
            known = remember(known, seen)
            for job in seen.jobs:
                assert job.started_at is not None
                story.append((f"{job.started_at:%M:%S}", job.status.name, job.processed, job.docs_in_index))
    assert story == [
        ("00:00", "PENDING", 0, None),
        ("00:00", "RUNNING", 41, None),
        ("00:00", "RUNNING", 884, None),
        ("00:00", "SUCCEEDED_WITH_ERRORS", 1103, 1099),
        ("05:01", "RUNNING", 20, None),
        ("05:01", "CANCELING", 140, None),
        ("05:01", "CANCELED", 141, 141),
    ]
    assert not known.open_jobs


# ---- Fusion

COUNTED = CountsFact(indexed=860, added=860, deleted=0, failed=2, total=900)
#: file and place → the run's state, its start and end in milliseconds, counts, message
FUSION_EXPECTED: dict[tuple[str, int], tuple[str, int, int | None, CountsFact, str | None]] = {
    ("v1_job.finished", 0): ("SUCCEEDED_WITH_ERRORS", 1433517368000, 1433517468512, COUNTED, None),
    ("v1_job.running", 0): (
        "RUNNING",
        1433517368000,
        None,
        CountsFact(indexed=190, added=190, failed=1, total=211),
        None,
    ),
    ("v1_job.stopped", 0): ("CANCELED", 1433517368000, 1433517378000, CountsFact(), "Stopped by user"),
    ("v5_job.running", 0): ("RUNNING", 1787221000000, None, CountsFact(total=12), None),
    ("v5_job.success", 0): ("SUCCEEDED", 1787220000052, 1787220060800, CountsFact(indexed=898, total=900), None),
    ("jobs.list", 1): (
        "SUCCEEDED_WITH_ERRORS",
        1787220000052,
        1787220060800,
        CountsFact(indexed=898, added=860, deleted=0, failed=2, total=900),
        None,
    ),
    ("jobs.list", 2): ("RUNNING", 1787221000000, None, CountsFact(failed=0, total=12), None),
    ("jobs.list", 3): ("FAILED", 1787216400001, 1787216402500, CountsFact(), "connection refused"),
    ("jobs.history", 0): ("SUCCEEDED", 1787220000052, 1787220060800, CountsFact(total=900), None),
    ("v1_history.entries", 0): ("SUCCEEDED", 1433517368000, 1433517468000, CountsFact(indexed=860, total=900), None),
}


@cases(("name", "place"), FUSION_EXPECTED)
def test_runs_of_fusion(name: str, place: int) -> None:
    sent = read(f"fusion/{name}.response.json")
    entry = LenientReader(sent[place] if isinstance(sent, list) else sent)
    run = fusion_mapping.run(entry)
    assert isinstance(run, Run)
    assert not entry.complaints
    status, start, end, counts, message = FUSION_EXPECTED[name, place]
    assert run.status is JobStatus[status]
    assert run.started == datetime.fromtimestamp(start / 1000, UTC)
    assert run.stopped == (None if end is None else datetime.fromtimestamp(end / 1000, UTC))
    assert (run.counts, run.message) == (counts, message)
    assert run.docs_in_index is None


async def test_the_job_list_of_fusion() -> None:
    async with lucidworks({"GET /api/jobs": Reply(read(FUSION_LIST))}, dialect="fusion") as (source, _):
        seen = await source.poll(Known())
    assert (seen.complete, seen.problems) == (True, [])
    assert [(fact.external_id, fact.status.name, fact.upstream_status) for fact in seen.connectors] == [
        ("never", "INACTIVE", "ready"),
        ("docs", "ACTIVE", "success"),
        ("web", "ACTIVE", "running"),
        ("broken", "ERROR", "failed"),
    ]
    assert [job.external_id for job in seen.jobs] == [
        "docs@2026-08-20T10:00:00+0000",
        "web@2026-08-20T10:16:40+0000",
        "broken@2026-08-20T09:00:00+0000",
    ]
    assert seen.connectors[3].error_message == "connection refused"


@cases("name", FUSION_HISTORIES)
async def test_histories_of_fusion_are_read(name: str) -> None:
    old = name.startswith("fusion/v1")
    answers: dict[str, Answer] = {
        "GET /api/connectors/datasources": Reply([{"id": "docs", "type": "web"}]),
        f"GET /api/{'connectors/history/docs' if old else 'jobs/datasource:docs/history'}": Reply(read(name)),
    }
    if not old:
        answers["GET /api/jobs"] = Reply([])
    async with lucidworks(answers, dialect="fusion") as (source, _):
        await source.poll(Known())
        batches = [batch async for batch in source.history(Known(), frozenset({"docs"}))]
    assert [job.status.name for batch in batches for job in batch.jobs] == ["SUCCEEDED"]


@cases("name", FUSION_RUNS)
async def test_connector_jobs_of_fusion_are_read(name: str) -> None:
    answers: dict[str, Answer] = {
        "GET /api/connectors/datasources": Reply([{"id": "docs", "type": "web"}]),
        "GET /api/connectors/jobs/docs": Reply(read(name)),
    }
    async with lucidworks(answers, dialect="fusion") as (source, _):
        seen = await source.poll(Known())
    assert (seen.complete, seen.problems, len(seen.jobs)) == (True, [], 1)


async def test_sums_are_no_history() -> None:
    answers: dict[str, Answer] = {
        "GET /api/jobs": Reply(read(FUSION_LIST)),
        "GET /api/jobs/datasource:docs/history": Reply(read("fusion/v1_history.cumulative.response.json")),
    }
    async with lucidworks(answers, dialect="fusion") as (source, _):
        assert [batch async for batch in source.history(Known(), frozenset({"docs"}))] == []
