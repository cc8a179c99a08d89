"""Every example payload of Lucidworks: read by the adapter, and answered alike by the simulator."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobFact, JobStatus, Known, SystemErrorCode
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceUnreachable
from sources.lucidworks import fusion_mapping, mapping
from sources.lucidworks.population import VISITOR, settle
from sources.lucidworks.runs import Run
from sources.lucidworks.search_views import Build
from sources.lucidworks.survey import past_of
from sources.lucidworks.wire import LucidworksClient
from sources.reading import LenientReader
from tests.sources.canned import Asked, Reply, canned
from tests.sources.contract import remember
from tests.sources.lucidworks_stage import (
    LUCIDWORKS,
    Api,
    configured,
    knows,
    listed,
    lucidworks,
    one_collection,
    path,
    read,
    simulated,
    told,
)
from tests.sources.onyx_stage import Answer

FILES = sorted(str(each.relative_to(LUCIDWORKS)) for each in LUCIDWORKS.rglob("*.json"))
ERRORS = [name for name in FILES if name.startswith("errors/")]
STATUSES = [name for name in FILES if re.search(r"/status\.", name)]
HISTORIES = [name for name in FILES if re.search(r"search_2x/.*/history\.", name)]
LISTS = [name for name in FILES if re.search(r"/datasources?\.(list|get)", name)]
ALL_STATUS = "search_2x/implementation/all_status.response.json"
ALL_HISTORY = "search_2x/implementation/all_history.response.json"
EXCEPTION = "search_2x/implementation/status.exception.response.json"
COLLECTIONS = "search_2x/documented/collections.response.json"
TIMELINE = "search_2x/timelines/start_finish_restart_stop.json"
FUSION_RUNS = [f"fusion/{name}.response.json" for name in ("v1_job.finished", "v1_job.running", "v1_job.stopped")]
FUSION_RUNS += [f"fusion/{name}.response.json" for name in ("v5_job.running", "v5_job.success")]
FUSION_LIST = "fusion/jobs.list.response.json"
FUSION_HISTORIES = ["fusion/jobs.history.response.json", "fusion/v1_history.entries.response.json"]


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


@pytest.mark.parametrize("name", STATUSES)
@pytest.mark.parametrize("together", [True, False])
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


@pytest.mark.parametrize(
    ("word", "source_status", "job_status"),
    [
        *((word, mapping.CONNECTOR_STATUS[word], mapping.JOB_STATUS[word]) for word in mapping.JOB_STATUS),
        ("Running", ConnectorStatus.UNKNOWN, JobStatus.UNKNOWN),
        ("PONDERING", ConnectorStatus.UNKNOWN, JobStatus.UNKNOWN),
    ],
)
def test_words(word: str, source_status: ConnectorStatus, job_status: JobStatus) -> None:
    sent = {"crawl_state": word, "crawl_started": "2013-07-01T22:00:00+0000", "num_failed": 0}
    run = mapping.run(LenientReader(sent))
    fact = mapping.connector(LenientReader(listed(6)), "c", LenientReader(sent))
    assert run is not None
    assert (run.word, run.status) == (word, job_status)
    assert (fact.upstream_status, fact.status) == (word, source_status)


def test_the_vocabulary_is_that_of_the_pages() -> None:
    assert len(mapping.JOB_STATUS) == 11
    assert mapping.CONNECTOR_STATUS.keys() == {None, *mapping.JOB_STATUS}


def test_a_counter_that_is_not_sent_is_null() -> None:
    (run,) = past_of(read("search_2x/documented/history.old_entry_fewer_counters.response.json"), mapping.run).runs
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


@pytest.mark.parametrize("name", LISTS)
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


@pytest.mark.parametrize("name", HISTORIES)
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


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The keys and values that are neither objects nor lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def shown(value: Any) -> Iterator[Any]:
    """Everything that a fact says, its details decoded."""
    for name, field in vars(value).items():
        if name == "details":
            yield from (leaf for _, leaf in leaves(told(field)))
        elif isinstance(field, CountsFact):
            yield from (getattr(field, slot) for slot in CountsFact.__dataclass_fields__)
        else:
            yield field


def assert_nothing_lost(sent: Any, facts: list[Any]) -> None:
    said = [each for fact in facts for each in shown(fact)]
    texts = {str(each) for each in said}
    for key, value in leaves(sent):
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


@pytest.mark.parametrize("name", CARRIED)
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


@pytest.mark.parametrize("name", [*FUSION_RUNS, FUSION_LIST, *FUSION_HISTORIES])
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
    ("v1_history.entries", 0): (
        "SUCCEEDED",
        1433517368000,
        1433517468000,
        CountsFact(indexed=860, total=900),
        None,
    ),
}


@pytest.mark.parametrize(("name", "place"), FUSION_EXPECTED)
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


@pytest.mark.parametrize("name", FUSION_HISTORIES)
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


@pytest.mark.parametrize("name", FUSION_RUNS)
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


# ---- errors

EXPECTED: dict[str, type[SourceError]] = {
    "crawler_process_down_html": SourceUnreachable,
    "fusion_unauthorized": SourceAuthFailed,
    "invalid_attribute_envelope": SourceMismatch,
    "not_found_bare_array": SourceMismatch,
    "not_found_envelope": SourceMismatch,
    "proxy_basic_auth": SourceAuthFailed,
    "singular_path": SourceMismatch,
    "start_while_running_bare_array": SourceMismatch,
    "start_while_running_envelope": SourceMismatch,
    "stop_failed": SourceMismatch,
    "wrong_collection": SourceMismatch,
}


def reply(example: dict[str, Any]) -> Reply:
    body, headers = example["body"], {k: v for k, v in example["headers"].items() if k != "content-type"}
    kind = example["headers"]["content-type"]
    return Reply(
        text=body if isinstance(body, str) else json.dumps(body),
        status=example["status"],
        headers=headers,
        content_type=kind,
    )


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("route", ["GET /api/collections", path("c")])
async def test_errors_are_told_apart(name: str, route: str) -> None:
    example = read(name)
    answers: dict[str, Answer] = {"GET /api/collections": Reply([{"name": "c"}]), route: reply(example)}
    async with lucidworks(answers) as (source, _):
        with pytest.raises(SourceError) as caught:
            await source.poll(Known())
    error = caught.value
    assert type(error) is EXPECTED[name.removeprefix("errors/").removesuffix(".json")]
    assert error.status == example["status"]
    if isinstance(error, SourceUnreachable):
        assert error.code is SystemErrorCode.UPSTREAM_ERROR
    body = example["body"]
    listed_errors = body.get("errors", [body]) if isinstance(body, dict) else body
    for line in listed_errors if isinstance(listed_errors, list) else []:
        assert line["message"] in str(error)
        assert line.get("key", "") in str(error)


@pytest.mark.parametrize(
    "body", [{"errors": 7}, [7, {"message": 3}], {"errors": [{"message": "x" * 900}]}, 7, None, "said"]
)
async def test_any_error_body_makes_a_short_sentence(body: object) -> None:
    async with lucidworks({"GET /api/collections": Reply(body, 422)}) as (source, _):
        with pytest.raises(SourceMismatch) as caught:
            await source.poll(Known())
    assert len(str(caught.value)) < 500


# ---- the simulator answers alike


def types(value: Any, free: tuple[str, ...], place: str = "") -> dict[str, set[str]]:
    """The type names at every path of a JSON value; items of a list share theirs. Free-form places are not entered."""
    found: dict[str, set[str]] = defaultdict(set)
    if isinstance(value, dict) and not place.endswith(free):
        for key, inner in value.items():
            for deeper, names in types(inner, free, f"{place}.{key}").items():
                found[deeper] |= names
    if isinstance(value, list) and not place.endswith(free):
        for inner in value:
            for deeper, names in types(inner, free, f"{place}[]").items():
                found[deeper] |= names
    found[place].add(type(value).__name__)
    return found


def assert_alike(
    answers: list[Any], examples: list[Any], free: tuple[str, ...] = (".auth", "_paths", ".stack")
) -> None:
    """The same paths in both, and where both tell more than null the same types."""
    ours, theirs = types(answers, free), types(examples, free)
    assert ours.keys() == theirs.keys()
    for place, names in theirs.items():
        seen = ours[place] - {"NoneType"}
        assert not seen or not names - {"NoneType"} or seen <= names, place


_ONE = "/collections/{collection}/datasources/{id}"
_FUSION = "/jobs/datasource:{key}"
#: GET path → build, the examples of its answer; asked of every data source
READ: dict[str, tuple[Build, list[str]]] = {
    "/collections": (Build(), [COLLECTIONS]),
    "/collections/{collection}/datasources": (Build(), [name for name in LISTS if "list" in name]),
    _ONE: (Build(), LISTS),
    f"{_ONE}/status": (Build(), [name for name in STATUSES if "null_body" not in name]),
    f"{_ONE}/job": (Build(text_ids=True), [name for name in STATUSES if "implementation" in name]),
    f"{_ONE}/schedule": (Build(), ["search_2x/implementation/schedule.none.response.json"]),
    "/collections/{collection}/datasources/all/status": (Build(), [ALL_STATUS, EXCEPTION]),
    "/jobs": (Build(), [FUSION_LIST]),
    f"{_FUSION}/schedule": (Build(), ["fusion/jobs.schedule.response.json"]),
    "/connectors/jobs/{key}": (Build(), ["fusion/v5_job.running.response.json", "fusion/v5_job.success.response.json"]),
    "/connectors/jobs/{key} of Fusion 1": (Build(fusion=1), FUSION_RUNS[:3]),
    "/connectors/history/{key}": (Build(fusion=1), ["fusion/v1_history.entries.response.json"]),
    "/connectors/history/{key}?cumulative=true": (Build(fusion=1), ["fusion/v1_history.cumulative.response.json"]),
}


async def answers_at(api: Api, build: Build, address: str) -> list[Any]:
    found = {}
    for source in api.world.sources.values():
        where = address.partition(" ")[0].format(collection=source.collection, id=build.id(source), key=source.key)
        if where not in found and (source.crawl or "connectors/jobs" not in where):
            code, found[where] = await api.ask("GET", where)
            assert code == 200
    return list(found.values())


@pytest.mark.parametrize("address", READ)
async def test_answers_have_the_shape_of_the_examples(address: str) -> None:
    build, names = READ[address]
    examples = [read(name) for name in names]
    if address == _ONE:
        examples = [each for example in examples for each in (example if isinstance(example, list) else [example])]
    if address.endswith("/all/status"):
        examples = [each if isinstance(each, list) else [each] for each in examples]
    async with simulated(build) as api:
        answers = await answers_at(api, build, address)
    # a list that may be empty says no more of its items then
    assert_alike([answer for answer in answers if answer != []], [example for example in examples if example != []])


async def test_histories_have_the_shape_of_the_examples() -> None:
    failed = [read(EXCEPTION)]
    histories = [read(name) for name in HISTORIES if read(name)]
    async with simulated() as api:
        one_by_one = [each for each in await answers_at(api, Build(), f"{_ONE}/history") if each]
        _, together = await api.ask("GET", "/collections/intranet/datasources/all/history")
        newer = [each for each in await answers_at(api, Build(), f"{_FUSION}/history") if each]
    numeric = [{**entry, "job_id": entry["id"]} for entry in failed]
    for entry in numeric:
        entry["id"] = entry["job_id"] = 6
    assert_alike(one_by_one, [*histories, numeric])
    assert_alike([together], [[*read(ALL_HISTORY), {"id": "7", "history": numeric}]])
    assert_alike(newer, [read(FUSION_HISTORIES[0])], (".extra",))


async def test_an_older_history_leaves_out_what_the_example_leaves_out() -> None:
    build = Build(short_history=True)
    async with simulated(build) as api:
        answers = await answers_at(api, build, "/collections/{collection}/datasources/{id}/history")
    keys = {key for answer in answers for entry in answer for key in entry} - {"message", "exception"}
    assert keys == set(read("search_2x/documented/history.old_entry_fewer_counters.response.json")[0])


async def test_a_data_source_is_created_changed_and_scheduled_as_in_the_examples() -> None:
    all_of_them = "/collections/collection1/datasources"
    async with simulated(populated=False) as api:
        api.world.collections.append("collection1")
        assert await api.ask("GET", all_of_them) == (
            200,
            read("search_2x/documented/datasources.list.empty.response.json"),
        )
        create = read("search_2x/documented/datasource.create.request.json")
        code, made = await api.ask("POST", all_of_them, create)
        assert code == 201
        one = f"{all_of_them}/{made['id']}"
        assert api.headers["Location"] == f"/api{one}"
        assert made.items() >= create.items()
        history = await api.ask("GET", f"{one}/history")
        assert history == (200, read("search_2x/documented/history.empty.response.json"))
        assert await api.ask("PUT", one, read("search_2x/documented/datasource.update.request.json")) == (204, None)
        assert (await api.ask("GET", one))[1]["crawl_depth"] == 3
        assert (await api.ask("GET", f"{one}/schedule"))[1] == read(
            "search_2x/implementation/schedule.none.response.json"
        )
        wanted = read("search_2x/implementation/schedule.put.request.json")
        assert await api.ask("PUT", f"{one}/schedule", wanted) == (204, None)
        _, schedule = await api.ask("GET", f"{one}/schedule")
        assert_alike([schedule], [read("search_2x/implementation/schedule.daily.response.json")])
        assert (schedule["period"], schedule["active"]) == (3600, True)
        past = {**wanted, "start_time": "2001-01-01T00:00:00+0000"}
        assert (await api.ask("PUT", f"{one}/schedule", past))[0] == 422
        assert await api.ask("DELETE", f"{one}/schedule") == (204, None)
        assert await api.ask("DELETE", one) == (204, None)
        assert (await api.ask("GET", one))[0] == 404


@pytest.mark.parametrize("body", [None, ""])
async def test_one_that_never_ran_has_no_status_in_some_builds(body: str | None) -> None:
    build = Build(never_run="null" if body is None else "empty")
    async with simulated(build, populated=False) as api:
        api.world.collections.append("collection1")
        source = settle(api.world, VISITOR)
        answer = await api.ask("GET", f"/collections/collection1/datasources/{source.id}/status")
        together = await api.ask("GET", "/collections/collection1/datasources/all/status")
    assert answer == (200, read("search_2x/assumed/status.never_run_null_body.response.json"))
    assert together == (200, [])


ENVELOPE, ARRAY = Build(), Build(envelope=False)
_SIX = "/collections/collection1/datasources/6"
#: error example → build, method, path, body, and whether without credentials
REFUSED: dict[str, tuple[Build, str, str, Any, bool]] = {
    "fusion_unauthorized": (ENVELOPE, "GET", "/jobs?type=datasource", None, True),
    "proxy_basic_auth": (ENVELOPE, "GET", "/collections", None, True),
    "invalid_attribute_envelope": (
        ENVELOPE,
        "POST",
        "/collections/collection1/datasources",
        {"type": "ftp2", "crawler": "lucid.aperture", "url": ""},
        False,
    ),
    "not_found_bare_array": (ARRAY, "GET", "/collections/collection1/datasources/999", None, False),
    "not_found_envelope": (ENVELOPE, "GET", "/collections/nowhere/datasources", None, False),
    "singular_path": (ENVELOPE, "GET", "/collection/collection1/datasources/6/status", None, False),
    "start_while_running_bare_array": (ARRAY, "PUT", f"{_SIX}/job", None, False),
    "start_while_running_envelope": (ENVELOPE, "PUT", f"{_SIX}/job", None, False),
    "wrong_collection": (ARRAY, "GET", "/collections/other/datasources/6/status", None, False),
}
#: what happens to a server rather than in it: a fault switch, and a crawler that never obeys
UNFORCED = {"crawler_process_down_html", "stop_failed"}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_are_worded_as_in_the_examples(name: str) -> None:
    example = read(f"errors/{name}.json")
    build, method, address, body, anonymous = REFUSED[name]
    async with simulated(build) as api:
        api.world.collections.append("other")
        answer = await api.ask(method, address, body, **({"headers": {}} if anonymous else {}))
        sent = {key: api.headers[key].partition(";")[0] for key in example["headers"]}
    assert answer == (example["status"], example["body"])
    assert sent == example["headers"]


@pytest.mark.parametrize("word", ["start", "stop", "START", "STOP"])
async def test_runs_of_fusion_are_started_and_stopped_as_in_the_examples(word: str) -> None:
    name, address = {
        "start": ("jobs.action.start", "/jobs/datasource:orders/actions"),
        "stop": ("jobs.action.start", "/jobs/datasource:company-web-site/actions"),
        "START": ("v5_job.start", "/connectors/jobs/orders"),
        "STOP": ("v5_job.stop", "/connectors/jobs/company-web-site"),
    }[word]
    body = read(f"fusion/{name}.request.json")
    if word == "stop":
        body["action"] = "stop"
    async with simulated() as api:
        states = {source.key: source for source in api.world.sources.values()}
        assert (await api.ask("POST", address, body))[0] == 200
        orders, site = states["orders"].crawl, states["company-web-site"].crawl
    assert orders is not None
    assert site is not None
    assert orders.active is (word.lower() == "start")
    assert site.state == ("STOPPING" if word.lower() == "stop" else "RUNNING")


# ---- nothing is left out


async def test_a_body_travels_unchanged() -> None:
    example = read("search_2x/documented/datasource.create.request.json")
    async with (
        canned({"POST /api/x": Reply(example)}) as upstream,
        LucidworksClient(configured(f"{upstream.url}/api")) as client,
    ):
        assert await client.post("/x", example) == example
    assert upstream.asked[0].body == example


def test_no_example_is_left_out() -> None:
    used = {*ERRORS, *STATUSES, *HISTORIES, *LISTS, ALL_STATUS, ALL_HISTORY, COLLECTIONS, TIMELINE}
    used |= {*FUSION_RUNS, *FUSION_HISTORIES, FUSION_LIST}
    used.update(name for _, names in READ.values() for name in names)
    used |= {f"fusion/{name}.request.json" for name in ("jobs.action.start", "v5_job.start", "v5_job.stop")}
    used |= {f"search_2x/documented/datasource.{name}.request.json" for name in ("create", "update")}
    used |= {f"search_2x/implementation/schedule.{name}.json" for name in ("daily.response", "put.request")}
    assert used == set(FILES)
    assert {f"errors/{name}.json" for name in EXPECTED} == set(ERRORS)
    assert REFUSED.keys() | UNFORCED == EXPECTED.keys()
    states = {f"search_2x/{name}.response.json" for name in EXPECTED_STATES}
    assert states == set(STATUSES)
