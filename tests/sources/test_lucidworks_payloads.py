"""Every example payload of Lucidworks that a server answers: read by the adapter, or simulated alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus
from sources.base import Source, SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.lucidworks import mapping
from sources.lucidworks.client import LucidworksClient
from sources.lucidworks.simulator.population import VISITOR, settle
from sources.lucidworks.simulator.views import Build
from sources.reading import LenientReader
from tests.sources.canned import Reply
from tests.sources.cases import cases
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
    LUCIDWORKS,
    STATUSES,
    TIMELINE,
    Api,
    configured,
    listed,
    lucidworks,
    path,
    read,
    simulated,
)
from tests.sources.onyx_stage import Answer
from tests.sources.payloads import Likeness, Refusal, Shape, VocabularyContract

SHAPE = Shape(free=(".auth", ".auth[]", "_paths", "_paths[]", ".stack", ".stack[]"), fewer=True)


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
        SHAPE.assert_alike([schedule], [read("search_2x/implementation/schedule.daily.response.json")])
        assert (schedule["period"], schedule["active"]) == (3600, True)
        past = {**wanted, "start_time": "2001-01-01T00:00:00+0000"}
        assert (await api.ask("PUT", f"{one}/schedule", past))[0] == 422
        assert await api.ask("DELETE", f"{one}/schedule") == (204, None)
        assert await api.ask("DELETE", one) == (204, None)
        assert (await api.ask("GET", one))[0] == 404


@cases("body", [None, ""])
async def test_one_that_never_ran_has_no_status_in_some_builds(body: str | None) -> None:
    build = Build(never_run="null" if body is None else "empty")
    async with simulated(build, populated=False) as api:
        api.world.collections.append("collection1")
        source = settle(api.world, VISITOR)
        answer = await api.ask("GET", f"/collections/collection1/datasources/{source.id}/status")
        together = await api.ask("GET", "/collections/collection1/datasources/all/status")
    assert answer == (200, read("search_2x/assumed/status.never_run_null_body.response.json"))
    assert together == (200, [])


@cases("word", ["start", "stop", "START", "STOP"])
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


# ---- what holds for the payloads of every kind

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


JOB_WORDS = {
    "STARTING": JobStatus.PENDING,
    "RUNNING": JobStatus.RUNNING,
    "FINISHING": JobStatus.RUNNING,
    "STOPPING": JobStatus.CANCELING,
    "ABORTING": JobStatus.CANCELING,
    "FINISHED": JobStatus.SUCCEEDED,
    "STOPPED": JobStatus.CANCELED,
    "ABORTED": JobStatus.CANCELED,
    "EXCEPTION": JobStatus.FAILED,
    **dict.fromkeys(("IDLE", "UNKNOWN", "Running", "PONDERING"), JobStatus.UNKNOWN),
}


class TestLucidworksPayloads(VocabularyContract):
    folder = LUCIDWORKS
    shape = SHAPE
    errors: ClassVar = {
        SourceAuthFailed: "fusion_unauthorized proxy_basic_auth",
        SourceMismatch: "invalid_attribute_envelope not_found_bare_array not_found_envelope singular_path"
        " start_while_running_bare_array start_while_running_envelope stop_failed wrong_collection",
        SourceUnreachable: "crawler_process_down_html",
    }
    meets = ("GET /api/collections", path("c"))
    odd_bodies: ClassVar = [{"errors": 7}, [7, {"message": 3}], {"errors": [{"message": "x" * 900}]}, 7, None, "said"]
    refused = REFUSED.keys()
    not_refused: ClassVar = {"a fault switch": "crawler_process_down_html", "no crawler disobeys": "stop_failed"}
    connector_words: ClassVar = {
        **dict.fromkeys(JOB_WORDS, ConnectorStatus.ACTIVE),
        "EXCEPTION": ConnectorStatus.ERROR,
        "IDLE": ConnectorStatus.INACTIVE,
        **dict.fromkeys(("UNKNOWN", "Running", "PONDERING"), ConnectorStatus.UNKNOWN),
    }
    job_words: ClassVar = JOB_WORDS
    vocabularies = (mapping.CONNECTOR_STATUS, mapping.JOB_STATUS)
    carried: ClassVar = ["search_2x/documented/datasource.create.request.json"]
    used: ClassVar = {
        *STATUSES,
        *HISTORIES,
        *LISTS,
        *FUSION_RUNS,
        *FUSION_HISTORIES,
        *(name for _, names in READ.values() for name in names),
        *(f"fusion/{name}.request.json" for name in ("jobs.action.start", "v5_job.start", "v5_job.stop")),
        *(f"search_2x/implementation/schedule.{name}.json" for name in ("daily.response", "put.request")),
        "search_2x/documented/datasource.update.request.json",
        ALL_HISTORY,
        TIMELINE,
    }

    @asynccontextmanager
    async def answered(self, reply: Reply, where: str) -> AsyncIterator[Source]:
        answers: dict[str, Answer] = {"GET /api/collections": Reply([{"name": "c"}]), where: reply}
        async with lucidworks(answers) as (source, _):
            yield source

    def pieces(self, name: str, example: Any) -> list[str]:
        body = example["body"]
        listed_errors = body.get("errors", [body]) if isinstance(body, dict) else body
        lines = listed_errors if isinstance(listed_errors, list) else []
        return [piece for line in lines for piece in (line["message"], line.get("key", ""))]

    async def refusals(self) -> AsyncIterator[Refusal]:
        for build in (ENVELOPE, ARRAY):
            async with simulated(build) as api:
                api.world.collections.append("other")
                for name, (wanted, method, address, body, anonymous) in REFUSED.items():
                    if wanted is build:
                        options = {"headers": {}} if anonymous else {}
                        status, answer = await api.ask(method, address, body, **options)
                        yield name, status, answer, api.headers

    def header(self, sent: str) -> str:
        return sent.partition(";")[0]

    async def likenesses(self) -> AsyncIterator[Likeness]:
        for build in dict.fromkeys(build for build, _ in READ.values()):
            async with simulated(build) as api:
                for address in (address for address, (wanted, _) in READ.items() if wanted == build):
                    shown = [read(name) for name in READ[address][1]]
                    if address == _ONE:
                        shown = [one for each in shown for one in (each if isinstance(each, list) else [each])]
                    if address.endswith("/all/status"):
                        shown = [each if isinstance(each, list) else [each] for each in shown]
                    answers = await answers_at(api, build, address)
                    # a list that may be empty says no more of its items then
                    yield address, [each for each in answers if each != []], [each for each in shown if each != []]
        async with simulated() as api:
            one_by_one = [each for each in await answers_at(api, Build(), f"{_ONE}/history") if each]
            _, together = await api.ask("GET", "/collections/intranet/datasources/all/history")
        failed = read(EXCEPTION)
        numeric = [{**failed, "job_id": 6, "id": 6}]
        yield "histories", one_by_one, [*(read(name) for name in HISTORIES if read(name)), numeric]
        yield "all histories", [together], [[*read(ALL_HISTORY), {"id": "7", "history": numeric}]]

    async def test_histories_of_fusion_have_the_shape_of_the_example(self) -> None:
        async with simulated() as api:
            newer = [each for each in await answers_at(api, Build(), f"{_FUSION}/history") if each]
        replace(SHAPE, free=(".extra", ".extra[]")).assert_alike(newer, [read(FUSION_HISTORIES[0])])

    def client(self, url: str) -> LucidworksClient:
        return LucidworksClient(configured(f"{url}/api"))

    def connector_called(self, word: str) -> ConnectorFact:
        return mapping.connector(LenientReader(listed(6)), "c", LenientReader(_crawl(word)))

    def job_called(self, word: str) -> JobFact:
        run = mapping.run(LenientReader(_crawl(word)))
        assert run is not None
        assert (run.word, run.status) == (word, self.job_words[word])
        return run.job("c/6")


def _crawl(word: str) -> dict[str, Any]:
    return {"crawl_state": word, "crawl_started": "2013-07-01T22:00:00+0000", "num_failed": 0}
