"""The simulated ZenSearch: its checks, what is configurable about it, and how its world moves."""

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sources.zensearch.client import signature
from sources.zensearch.mapping import CONNECTOR_STATUS
from sources.zensearch.simulator.checks import POWERLESS, PUBLISHABLE_KEY, SECRET_KEY, SESSION, SIGNATURE_AGE, TOKEN
from sources.zensearch.simulator.population import CAST, populate
from sources.zensearch.simulator.routes import DATABASES, TYPES
from sources.zensearch.simulator.views import connector as shown
from sources.zensearch.simulator.world import IN_A_ROW, KEPT, Connector, Job, Profile, ZenSearchWorld
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.zensearch_stage import Api, connector, simulated

SYNC = "/v1/connectors/conn_1/sync"


def a_world(size: int = len(CAST), seed: int = 3) -> ZenSearchWorld:
    world = ZenSearchWorld(seed=seed, start=START)
    populate(world, size)
    return world


def lone(ends: dict[str, float] | None = None, **profile: Any) -> tuple[ZenSearchWorld, Connector]:
    """A world with one connector that was never synced."""
    world = ZenSearchWorld(seed=1, start=START)
    kind = Profile(ends or {"completed": 1}, **profile)
    return world, world.add_connector(Connector("conn_1", "one", "s3", "col", START, profile=kind))


def run(world: ZenSearchWorld, seconds: float) -> None:
    world.advance(world.now + timedelta(seconds=seconds))


def run_until(world: ZenSearchWorld, condition: Callable[[], object], *, step: float = 0.5, limit: float = 900) -> None:
    """Let time pass until ``condition`` holds; fails after ``limit`` simulated seconds."""
    deadline = world.now + timedelta(seconds=limit)
    while not condition():
        assert world.now < deadline
        run(world, step)


# ---- credentials


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key(token: str) -> dict[str, str]:
    return {"X-ZenSearch-Key": token}


@cases(
    ("headers", "outer", "inner"),
    [
        (bearer(TOKEN), 200, 200),
        (bearer(SESSION), 401, 200),
        (bearer(SECRET_KEY), 401, 401),
        (bearer("wrong"), 401, 401),
        (bearer(POWERLESS), 403, 403),
        ({"Authorization": TOKEN}, 401, 401),
        (key(SECRET_KEY), 401, 200),
        (key(PUBLISHABLE_KEY), 401, 200),
        (key(TOKEN), 401, 401),
        ({}, 401, 401),
    ],
)
async def test_forms_of_credentials(headers: dict[str, str], outer: int, inner: int) -> None:
    async with simulated() as api:
        for prefix, expected in (("/v1", outer), ("/api/v1", inner)):
            status, body = await api.ask("GET", f"{prefix}/connectors", headers=headers)
            assert status == expected
            assert ("data" in body) is (expected == 200)


async def test_a_publishable_key_reads_only() -> None:
    async with simulated() as api:
        path = f"/api/v1/connectors/{next(iter(api.world.connectors))}"
        assert (await api.ask("GET", path, headers=key(PUBLISHABLE_KEY)))[0] == 200
        for method, address in (("POST", f"{path}/sync"), ("PUT", path), ("DELETE", path)):
            assert (await api.ask(method, address, headers=key(PUBLISHABLE_KEY)))[0] == 403


@cases(
    ("secret", "age", "signed", "status"),
    [
        (SECRET_KEY, 0, b'{"sync_mode": "full"}', 202),
        (SECRET_KEY, SIGNATURE_AGE - 20, b'{"sync_mode": "full"}', 202),
        (SECRET_KEY, SIGNATURE_AGE + 20, b'{"sync_mode": "full"}', 401),
        (SECRET_KEY, -SIGNATURE_AGE - 20, b'{"sync_mode": "full"}', 401),
        (SECRET_KEY, 0, b"{}", 401),
        ("zsk_sk_other", 0, b'{"sync_mode": "full"}', 401),
    ],
)
async def test_a_signature_is_checked_when_there_is_one(secret: str, age: float, signed: bytes, status: int) -> None:
    headers = key(SECRET_KEY) | signature(secret, signed, round((time.time() - age) * 1000))
    async with simulated(entries=[connector(1)]) as api:
        answer = await api.ask("POST", f"/api{SYNC}", headers=headers, data=b'{"sync_mode": "full"}')
    assert answer[0] == status


async def test_a_signature_can_be_demanded() -> None:
    async with simulated(wants_signature=True) as api:
        assert (await api.ask("GET", "/api/v1/connectors", headers=key(SECRET_KEY)))[0] == 401
        assert (await api.ask("GET", "/api/v1/connectors", headers=key(SECRET_KEY) | _stamp("x")))[0] == 401


def _stamp(stamp: str) -> dict[str, str]:
    return {"X-ZenSearch-Timestamp": stamp, "X-ZenSearch-Signature": "00"}


async def test_unknown_paths_and_methods() -> None:
    async with simulated(entries=[connector(1)]) as api:
        for method, path, status, code in (
            ("GET", "/v1/nowhere", 404, "not_found"),
            ("GET", "/v2/connectors", 404, "not_found"),
            ("PATCH", "/v1/connectors", 405, "method_not_allowed"),
            ("GET", SYNC, 405, "method_not_allowed"),
        ):
            answer = await api.ask(method, path)
            assert (answer[0], answer[1]["error"]["code"]) == (status, code)
        assert (await api.ask("GET", "/v1/nowhere", headers={}))[0] == 401
        assert (await api.ask("GET", "/v1/connectors?limit=0&page=7"))[1]["data"]


# ---- rates


async def test_every_answer_tells_what_is_left() -> None:
    async with simulated(entries=[connector(1)], limit=3) as api:
        left = []
        for path in ("/v1/connectors", "/v1/connectors/conn_9", "/v1/connectors", "/v1/connectors"):
            status, _ = await api.ask("GET", path)
            left.append((status, api.headers["X-RateLimit-Limit"], api.headers["X-RateLimit-Remaining"]))
        assert left == [(200, "3", "2"), (404, "3", "1"), (200, "3", "0"), (429, "3", "0")]
        assert api.headers["Retry-After"] == "60"
        assert (await api.ask("GET", "/api/v1/connectors", headers=key(SECRET_KEY)))[0] == 200  # counted by itself
        api.hand.move(59.4)
        assert (await api.ask("GET", "/v1/connectors"))[0] == 429
        assert api.headers["Retry-After"] == "1"
        api.hand.move(0.6)
        assert (await api.ask("GET", "/v1/connectors"))[0] == 200


# ---- what is configurable


@cases(("wanted", "outer", "inner"), [(None, False, True), (True, True, True), (False, False, False)])
async def test_meta(wanted: bool | None, outer: bool, inner: bool) -> None:
    async with simulated(meta=wanted) as api:
        seen = set()
        for prefix, expected in (("/v1", outer), ("/api/v1", inner)):
            for path in ("/connectors", "/connectors/conn_9"):
                _, body = await api.ask("GET", prefix + path)
                assert ("meta" in body) is expected
                seen.add(body.get("meta", {}).get("requestId"))
    assert len(seen - {None}) == 2 * (outer + inner)


@cases(("sent", "progress"), [("absent", "nothing"), ("null", None), ("zeros", [0, 0, 0])])
async def test_progress_of_a_queued_job(sent: str, progress: object) -> None:
    async with simulated(entries=[connector(1)], queued_progress=sent, trigger_status=200) as api:
        status, body = await api.ask("POST", SYNC)
        _, body = await api.ask("GET", f"{SYNC}/{body['data']['jobId']}")
    assert status == 200
    told = body["data"].get("progress", "nothing")
    assert (list(told.values()) if isinstance(told, dict) else told) == progress


async def test_a_second_trigger_may_join_the_first() -> None:
    async with simulated(entries=[connector(1)]) as api:
        _, first = await api.ask("POST", SYNC)
        assert (await api.ask("POST", SYNC))[0] == 409
        api.manners.second_trigger_joins = True
        assert await api.ask("POST", SYNC) == (202, first)


async def test_words_and_ends_can_be_others() -> None:
    async with simulated(entries=[connector(1)], words={"completed": "done"}, tells_ends=False) as api:
        _, body = await api.ask("POST", SYNC)
        for _ in range(100):
            api.hand.move(1)
            _, body = await api.ask("GET", f"{SYNC}/{body['data']['jobId']}")
    assert body["data"].keys() == {"jobId", "status", "progress", "startedAt"}
    assert body["data"]["status"] == "done"


async def test_deletion_with_and_without_a_body() -> None:
    async with simulated(entries=[connector(1), connector(2)]) as api:
        assert await api.ask("DELETE", "/v1/connectors/conn_1") == (204, None)
        api.manners.delete_has_body = True
        assert await api.ask("DELETE", "/v1/connectors/conn_2") == (200, {"data": {"id": "conn_2", "deleted": True}})
        assert (await api.ask("DELETE", "/v1/connectors/conn_2"))[0] == 404
        assert (await api.ask("GET", "/v1/connectors"))[1] == {"data": []}


@cases(
    ("path", "body"),
    [
        ("/v1/connectors", {"type": "s3"}),
        ("/v1/connectors", {"name": "x", "type": "s3", "collection": "c"}),
        (SYNC, {"sync_mode": "sideways"}),
        (SYNC, [1]),
        ("/v1/connectors", "{"),
    ],
)
async def test_forms_that_are_not_valid(path: str, body: Any) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    async with simulated(entries=[connector(1)]) as api:
        status, answer = await api.ask("POST", path, data=text)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


async def test_a_job_belongs_to_its_connector() -> None:
    async with simulated(entries=[connector(1), connector(2)]) as api:
        _, body = await api.ask("POST", SYNC)
        number = body["data"]["jobId"]
        assert (await api.ask("GET", f"{SYNC}/{number}"))[0] == 200
        assert (await api.ask("GET", f"/v1/connectors/conn_2/sync/{number}"))[0] == 404


async def test_a_new_connector_is_synced_by_itself_unless_it_is_a_database() -> None:
    async with simulated(entries=[]) as api:
        form = {"name": "x", "collection": "c", "config": {}}
        made = [await api.ask("POST", "/v1/connectors", {**form, "type": kind}) for kind in ("jira", "mysql")]
        api.hand.move(120)
        syncs = [await last_sync(api, body["data"]["id"]) for _, body in made]
    assert syncs[0] is not None
    assert syncs[1] is None


async def last_sync(api: Api, number: str) -> Any:
    _, body = await api.ask("GET", f"/v1/connectors/{number}")
    return body["data"]["lastSync"]


# ---- the world


def test_the_world_opens_with_every_status_and_many_sources() -> None:
    world = a_world()
    connectors = list(world.connectors.values())
    assert 10 <= len(connectors) <= 16
    assert {c.status for c in connectors} == CONNECTOR_STATUS.keys()
    assert len({c.type for c in connectors}) >= 10
    assert {c.type for c in connectors} <= TYPES
    assert {"running", "completed", "failed", "cancelled"} <= {job.status for job in world.jobs.values()}
    assert all(not c.jobs and c.last_sync is None for c in connectors if c.type in DATABASES)
    assert [c.created for c in connectors] == sorted(c.created for c in connectors)


@cases("size", [1, 5, 13, 60, 400])
def test_the_world_has_the_size_asked_for(size: int) -> None:
    world = a_world(size)
    assert len(world.connectors) == size
    assert len({c.name for c in world.connectors.values()}) == size
    assert len(world.jobs) == sum(len(c.jobs) for c in world.connectors.values())


def test_the_past_begins_before_the_present() -> None:
    world = a_world()
    for c in world.connectors.values():
        starts = [job.requested for job in c.jobs]
        assert starts == sorted(starts)
        assert all(start <= START for start in starts)
        ended = [job.completed for job in c.jobs if job.completed is not None]
        assert all(end <= START for end in ended)
        done = [job.completed for job in c.jobs if job.status == "completed"]
        assert c.last_sync == (done[-1] if done else None)


def test_something_is_seen_to_move_every_couple_of_seconds() -> None:
    world, before, moves, longest, still = a_world(), "", 0, 0, 0
    for _ in range(600):
        run(world, 1)
        now = json.dumps([shown(c) for c in world.connectors.values()])
        moves, still = (moves + 1, 0) if now != before else (moves, still + 1)
        longest, before = max(longest, still), now
    assert moves > 200
    assert longest < 12


def test_everything_happens_within_ten_minutes() -> None:
    world, seen, statuses, names = a_world(), Counter[str](), set[tuple[str, str]](), set[str]()
    for _ in range(600):
        run(world, 1)
        seen.update(job.status for job in world.jobs.values())
        statuses |= {(c.id, c.status) for c in world.connectors.values()}
        names |= {c.name for c in world.connectors.values()}
    assert seen.keys() == {"queued", "running", "completed", "failed", "cancelled"}
    changing = Counter(number for number, _ in statuses)
    assert {"paused", "error"} <= {status for number, status in statuses if changing[number] > 1}
    assert "Trial upload" in names
    assert all(len(c.jobs) <= KEPT for c in world.connectors.values())


def test_syncs_of_a_connector_follow_each_other() -> None:
    world = a_world()
    run(world, 600)
    for c in world.connectors.values():
        assert not any(job.open for job in c.jobs[:-1])
        for job in c.jobs:
            assert job.collected >= job.parsed >= job.indexed
            assert (job.completed is None) is job.open
            assert job.completed is None or job.requested <= job.completed


# ---- one sync


def story(world: ZenSearchWorld, job: Job) -> list[tuple[str, int, int, int]]:
    """The moments of a job until it ends, each once."""
    seen = [(job.status, job.collected, job.parsed, job.indexed)]
    while job.open:
        run(world, 0.2)
        now = (job.status, job.collected, job.parsed, job.indexed)
        seen += [now] if now != seen[-1] else []
    return seen


def test_a_sync_goes_as_syncs_go() -> None:
    world, c = lone(documents=(300, 300), changed=0.5)
    seen = story(world, world.start(c))
    assert [status for status, *_ in seen] == ["queued", *["running"] * (len(seen) - 2), "completed"]
    assert seen[-1] == ("completed", 300, 300, 300)  # the first one indexes everything
    for stage in (1, 2, 3):
        counts = [moment[stage] for moment in seen]
        assert counts == sorted(counts)
        assert len({*counts}) > 5
    drained = [moment for moment in seen if moment[1] == 300 and moment[3] < 300]
    assert drained, "the source is read before everything is indexed"
    assert c.last_sync == c.jobs[-1].completed == world.jobs[c.jobs[-1].id].completed
    again = story(world, world.start(c))
    assert again[-1] == ("completed", 300, 150, 150)  # unchanged documents are not parsed
    assert story(world, world.start(c, "full"))[-1] == ("completed", 300, 300, 300)
    assert story(world, world.start(c, "incremental", 7))[-1] == ("completed", 7, 7, 7)


@cases("outcome", ["failed", "cancelled"])
def test_lastsync_moves_only_at_the_end_of_a_success(outcome: str) -> None:
    world, c = lone({outcome: 1})
    job = world.start(c)
    story(world, job)
    assert (job.status, c.last_sync) == (outcome, None)
    assert (job.error is not None) is (outcome == "failed")


def test_failures_in_a_row_put_a_connector_in_error_until_a_success() -> None:
    world, c = lone({"failed": 1})
    for number in range(1, IN_A_ROW + 1):
        assert c.status == "active"
        story(world, world.start(c))
        assert c.failures == number
    assert c.status == "error"
    c.profile = Profile({"completed": 1})
    run_until(world, lambda: c.last_sync)
    assert (c.status, c.failures) == ("active", 0)


def test_a_pause_cancels_what_runs_and_holds_the_schedule() -> None:
    world, c = lone()
    run_until(world, lambda: c.open_job)
    world.pause(c)
    run(world, 300)
    assert [job.status for job in c.jobs] == ["cancelled"]
    world.resume(c)
    run_until(world, lambda: c.last_sync)


def test_a_deleted_connector_is_never_synced_again() -> None:
    world, c = lone()
    run_until(world, lambda: c.open_job)
    world.delete(c)
    run(world, 300)
    assert [job.status for job in c.jobs] == ["cancelled"]
    assert not world.jobs


async def test_time_moves_the_answers() -> None:
    async with simulated() as api:
        first = await api.ask("GET", "/v1/connectors")
        assert await api.ask("GET", "/v1/connectors") == first
        api.hand.move(30)
        assert await api.ask("GET", "/v1/connectors") != first
