"""The simulated Lucidworks: its checks, its routes, and how its world moves."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp

from sources.lucidworks.mapping import CONNECTOR_STATUS, JOB_STATUS
from sources.lucidworks.simulator.checks import PASSWORD, USERNAME
from sources.lucidworks.simulator.crawls import KEPT, PROFILES, Crawl, DataSource, Profile
from sources.lucidworks.simulator.fusion_views import job
from sources.lucidworks.simulator.population import CAST, COLLECTIONS, SECRETS
from sources.lucidworks.simulator.views import Build, status
from sources.lucidworks.simulator.world import STALLED, LucidworksWorld
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.lucidworks_stage import a_world, simulated

ONE = "/collections/collection1/datasources/6"


def lone_source(profile: Profile | str = "steady", *, scheduled: bool = True) -> tuple[LucidworksWorld, DataSource]:
    """A world with one data source that has not run yet."""
    world = LucidworksWorld(seed=1, start=START)
    world.collections.append("c")
    kind = PROFILES[profile] if isinstance(profile, str) else profile
    source = DataSource(6, "one", "c", "One", "web", "lucid.aperture", "Web", START, profile=kind, scheduled=scheduled)
    return world, world.add(source)


def run(world: LucidworksWorld, seconds: float) -> None:
    world.advance(world.now + timedelta(seconds=seconds))


def run_until(world: LucidworksWorld, condition: Callable[[], object], *, limit: float = 5_000) -> None:
    """Let time pass until ``condition`` holds; fails after ``limit`` simulated seconds."""
    deadline = world.now + timedelta(seconds=limit)
    while not condition():
        assert world.now < deadline
        run(world, 1)


def crawling(world: LucidworksWorld, source: DataSource) -> Crawl:
    world.start(source)
    run_until(world, lambda: source.crawl and source.crawl.state == "RUNNING" and source.crawl.total)
    assert source.crawl is not None
    return source.crawl


# ---- credentials and routes


@cases(
    ("user", "password", "code"),
    [(USERNAME, PASSWORD, 200), (USERNAME, "other", 401), ("other", PASSWORD, 401), (None, None, 401)],
)
@cases("path", ["/collections", "/jobs", "/nowhere"])
async def test_credentials_come_first(user: str | None, password: str, code: int, path: str) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)} if user else {}
    async with simulated() as api:
        answer, _ = await api.ask("GET", path, headers=headers)
    assert answer == (404 if code == 200 and path == "/nowhere" else code)


@cases(
    ("method", "path", "code"),
    [
        ("POST", "/collections", 405),
        ("GET", "/collections/nowhere/datasources", 404),
        ("GET", "/collections/collection1/datasources/six", 404),
        ("GET", "/collections/intranet/datasources/6/status", 404),
        ("GET", "/collections/intranet/datasources/6/job", 200),
        ("PUT", "/collections/collection1/datasources/all/job", 204),
        ("DELETE", "/collections/collection1/datasources/all/job", 204),
        ("GET", "/connectors/datasources/orders", 200),
        ("GET", "/connectors/datasources/nothing", 404),
        ("GET", "/jobs/datasource:nothing", 404),
        ("POST", "/jobs/datasource:company-web-site/actions", 400),
    ],
)
async def test_routes(method: str, path: str, code: int) -> None:
    async with simulated() as api:
        assert (await api.ask(method, path))[0] == code


async def test_builds_differ_in_the_routes_they_have() -> None:
    async with simulated(Build(bulk=False, fusion=1)) as api:
        for path in ("/collections/collection1/datasources/all/status", "/jobs", "/jobs/datasource:orders"):
            assert (await api.ask("GET", path))[0] == 404
        assert (await api.ask("DELETE", "/connectors/jobs/company-web-site?abort=true"))[0] == 200
        assert (await api.ask("PUT", "/connectors/jobs/company-web-site"))[0] == 409
        assert (await api.ask("GET", "/connectors/jobs/media-library"))[0] == 404


@cases(
    ("method", "body"),
    [
        ("POST", {"type": "web"}),
        ("POST", {}),
        ("POST", {"type": "web", "crawler": "lucid.aperture", "url": ""}),
        ("PUT", {"type": "file"}),
        ("PUT", {"url": ""}),
        ("PUT", [1]),
    ],
)
async def test_data_sources_that_are_not_valid(method: str, body: Any) -> None:
    async with simulated() as api:
        path = ONE if method == "PUT" else "/collections/collection1/datasources"
        code, said = await api.ask(method, path, body)
    assert code == 422
    assert said["errors"]


async def test_ids_may_be_text() -> None:
    async with simulated(Build(text_ids=True)) as api:
        _, sources = await api.ask("GET", "/collections/collection1/datasources")
        number = sources[0]["id"]
        _, state = await api.ask("GET", f"/collections/collection1/datasources/{number}/status")
    assert len(number) == 32
    assert state["id"] == state["job_id"] == number


# ---- starting and stopping


async def test_a_start_and_a_stop_as_people_ask_for_them() -> None:
    async with simulated(populated=False) as api:
        api.world.collections.append("collection1")
        _, made = await api.ask("POST", "/collections/collection1/datasources", {"type": "web", "crawler": "x"})
        one = f"/collections/collection1/datasources/{made['id']}"
        assert (await api.ask("DELETE", f"{one}/job"))[0] == 204  # one that is at rest
        assert (await api.ask("GET", f"{one}/status"))[1]["crawl_state"] == "IDLE"
        assert (await api.ask("PUT", f"{one}/job"))[0] == 204
        assert (await api.ask("GET", f"{one}/status"))[1]["crawl_state"] == "STARTING"
        assert (await api.ask("PUT", f"{one}/job"))[0] == 422
        api.hand.move(20)
        seen = (await api.ask("GET", f"{one}/status"))[1]
        assert (seen["crawl_state"], seen["crawl_stopped"]) == ("RUNNING", None)
        assert seen["num_new"] > 0
        assert (await api.ask("DELETE", f"{one}/job?abort=true"))[0] == 204
        assert (await api.ask("GET", f"{one}/status"))[1]["crawl_state"] == "ABORTING"
        assert (await api.ask("GET", f"{one}/history"))[1] == []
        api.hand.move(5)
        ended = (await api.ask("GET", f"{one}/status"))[1]
        _, history = await api.ask("GET", f"{one}/history")
    assert ended["crawl_state"] == "ABORTED"
    assert history == [{**ended, "job_id": made["id"]}]


@cases(("abort", "words"), [(False, ["STOPPING", "STOPPED"]), (True, ["ABORTING", "ABORTED"])])
def test_a_stop_takes_a_moment(abort: bool, words: list[str]) -> None:
    world, source = lone_source(scheduled=False)
    crawl = crawling(world, source)
    world.stop(source, abort=abort)
    counted = crawl.total
    seen = [crawl.state]
    run(world, 4)
    seen.append(crawl.state)
    assert seen == words
    assert crawl.total == counted
    assert source.history == [crawl]


def test_a_stop_can_become_an_abort() -> None:
    world, source = lone_source(scheduled=False)
    crawl = crawling(world, source)
    world.stop(source)
    world.stop(source, abort=True)
    world.stop(source)
    run(world, 4)
    assert crawl.state == "ABORTED"
    assert source.history == [crawl]


def test_only_one_crawl_at_a_time_and_never_two_in_one_second() -> None:
    world, source = lone_source(scheduled=False)
    assert world.start(source)
    assert not world.start(source)
    first = source.crawl
    assert first is not None
    world.stop(source, abort=True)
    first.state = "ABORTED"
    assert world.start(source)
    assert source.crawl is not None
    assert source.crawl.started - first.started >= timedelta(seconds=1)


# ---- one crawl


def test_a_crawl_goes_as_crawls_go() -> None:
    world, source = lone_source()
    build = Build()
    world.start(source)
    story, totals = list[str](), list[int]()
    while not source.history:
        seen = status(source, source.crawl, build)
        numbers = [number for key, number in seen.items() if key.startswith("num_") and key != "num_total"]
        assert seen["num_total"] == sum(numbers)
        assert (seen["crawl_stopped"] is None) is (seen["crawl_state"] in ("STARTING", "RUNNING", "FINISHING"))
        if not story or story[-1] != seen["crawl_state"]:
            story.append(seen["crawl_state"])
        totals.append(seen["num_total"])
        run(world, 0.5)
    assert source.crawl is not None
    assert [*story, source.crawl.state] == ["STARTING", "RUNNING", "FINISHING", "FINISHED"]
    assert totals == sorted(totals)
    assert len(set(totals)) > 5
    first = source.crawl
    run_until(world, lambda: source.crawl is not first and source.crawl and source.crawl.total)
    assert source.crawl.counts["unchanged"] > source.crawl.counts["new"]
    assert first.counts["unchanged"] == 0
    assert source.history == [first]


def test_a_fatal_error_is_told_with_its_causes() -> None:
    world, source = lone_source(Profile({"EXCEPTION": 1}))
    world.start(source)
    run_until(world, lambda: source.history)
    seen = status(source, source.crawl, Build())
    assert (seen["crawl_state"], seen["num_failed"]) == ("EXCEPTION", 1)
    assert seen["message"]
    assert seen["exception"][0]["stack"][0] == seen["message"]


def test_a_stalled_crawl_stands_still_until_it_is_aborted() -> None:
    world, source = lone_source(Profile({"stalled": 1}, documents=(40, 60)))
    crawl = crawling(world, source)
    run_until(world, lambda: crawl.left == 0)
    counted = crawl.total
    run(world, STALLED - 60)
    assert (crawl.state, crawl.total) == ("RUNNING", counted)
    run(world, 120)
    assert crawl.state == "ABORTED"


def test_a_stateless_crawler_counts_everything_as_new() -> None:
    world, source = lone_source("stateless")
    world.start(source)
    run_until(world, lambda: len(source.history) >= 2)
    for crawl in source.history:
        assert crawl.counts["new"] > 0
        assert not crawl.counts["updated"] + crawl.counts["deleted"] + crawl.counts["unchanged"]


def test_only_so_many_runs_are_kept() -> None:
    world, source = lone_source(Profile({"FINISHED": 1}, documents=(1, 1), rest=(1, 2)))
    world.start(source)
    run(world, 3000)
    assert len(source.history) == KEPT
    starts = [crawl.started for crawl in source.history]
    assert starts == sorted(starts)


# ---- the world


def test_the_world_opens_with_several_sources_in_every_status() -> None:
    world = a_world()
    states = {source.crawl.state if source.crawl else None for source in world.sources.values()}
    assert {CONNECTOR_STATUS[state].name for state in states} == {"ACTIVE", "INACTIVE", "ERROR"}
    assert len(world.sources) == len(CAST) == 16
    assert len({source.type for source in world.sources.values()}) >= 10
    assert {source.collection for source in world.sources.values()} == set(COLLECTIONS)
    words = {crawl.state for source in world.sources.values() for crawl in source.history}
    assert words == {"FINISHED", "STOPPED", "ABORTED", "EXCEPTION"}
    assert sum(len(source.history) for source in world.sources.values()) > 200


def test_the_past_begins_before_the_present() -> None:
    world = a_world()
    for source in world.sources.values():
        ends = [crawl.stopped for crawl in source.history if crawl.stopped]
        starts = [crawl.started for crawl in source.crawls]
        assert len(ends) == len(source.history)
        assert all(end <= START for end in ends)
        assert starts == sorted(starts)
        assert all(start < end for start, end in zip(starts, ends, strict=False))
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_something_is_seen_to_move_every_couple_of_seconds() -> None:
    world, build = a_world(), Build()
    before, moves, still, longest = "", 0, 0, 0
    for _ in range(600):
        run(world, 1)
        now = json.dumps([status(source, source.crawl, build) for source in world.sources.values()])
        moves, still = (moves + 1, 0) if now != before else (moves, still + 1)
        longest, before = max(longest, still), now
    assert moves > 500
    assert longest < 6


def test_everything_happens_within_an_hour() -> None:
    world, seen, names = a_world(), Counter[str](), set[str]()
    never = {source.name for source in world.sources.values() if source.crawl is None}
    for _ in range(3600):
        run(world, 1)
        seen.update(source.crawl.state for source in world.sources.values() if source.crawl)
        names |= {source.name for source in world.sources.values()}
    assert seen.keys() == JOB_STATUS.keys() - {"IDLE", "UNKNOWN"}
    assert "Trial import" in names
    still = {source.name for source in world.sources.values() if source.crawl is None}
    assert never == {"Media library", "Pushed by the CMS"}
    assert "Media library" not in still
    assert "Pushed by the CMS" in still


def test_the_visitor_comes_and_goes() -> None:
    world = a_world()
    numbers: set[int] = set()
    gone: set[int] = set()
    for _ in range(1200):
        run(world, 1)
        present = {source.id for source in world.sources.values() if source.name == "Trial import"}
        gone |= numbers - present
        numbers |= present
    assert len(numbers) == 3
    assert gone


def test_both_dialects_tell_of_the_same_runs() -> None:
    world = a_world()
    run(world, 300)
    for source in world.sources.values():
        entry, seen = job(source), status(source, source.crawl, Build())
        assert ("lastStartTime" in entry) is (seen["crawl_started"] is not None)
        if source.crawl:
            assert entry["lastStartTime"][:19] == seen["crawl_started"][:19]
            assert entry["extra"]["counter.input"] == seen["num_total"]


async def test_the_simulated_settings_hold_secrets_to_be_kept() -> None:
    async with simulated() as api:
        found = [await api.ask("GET", f"/collections/{name}/datasources") for name in COLLECTIONS]
    assert all(secret in json.dumps(found) for secret in SECRETS)


async def test_time_moves_the_answers() -> None:
    async with simulated() as api:
        before = await api.ask("GET", "/jobs")
        assert await api.ask("GET", "/jobs") == before
        api.hand.move(3)
        assert await api.ask("GET", "/jobs") != before
