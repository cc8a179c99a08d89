"""The simulated Onyx: its checks, its list, and how its world moves."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sources.onyx.mapping import CONNECTOR_STATUS
from sources.onyx.simulator.checks import TOKEN
from sources.onyx.simulator.listing import DOCUMENT_SOURCES, entry
from sources.onyx.simulator.pairs import PROFILES, Attempt, Pair, Profile
from sources.onyx.simulator.population import populate
from sources.onyx.simulator.views import attempts
from sources.onyx.simulator.world import HEARTBEAT, PASS, OnyxWorld
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.onyx_stage import Api, simulated

LIST = "/manage/admin/connector/indexing-status"
NOT_AUTHENTICATED = {"detail": "Access denied. User is not authenticated."}


def a_world(size: int = 24, seed: int = 3) -> OnyxWorld:
    world = OnyxWorld(seed=seed, start=START)
    populate(world, size)
    return world


def lone_pair(profile: Profile | str = "steady", **values: Any) -> tuple[OnyxWorld, Pair]:
    """A world with one pair that has not run yet, made just now."""
    world = OnyxWorld(seed=1, start=START)
    kind = PROFILES[profile] if isinstance(profile, str) else profile
    pair = Pair(2, "pair", "web", "public", "SCHEDULED", 22, 7, START, kind, **values)
    return world, world.add_pair(pair)


def run(world: OnyxWorld, seconds: float) -> None:
    world.advance(world.now + timedelta(seconds=seconds))


def run_until(world: OnyxWorld, condition: Callable[[], object], *, step: float = 1, limit: float = 20_000) -> None:
    """Let time pass until ``condition`` holds; fails after ``limit`` simulated seconds."""
    deadline = world.now + timedelta(seconds=limit)
    while not condition():
        assert world.now < deadline
        run(world, step)


# ---- credentials and order of checks


@cases(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": TOKEN}, 200),
        ({"Authorization": f"Bearer onyx_pat_{TOKEN}"}, 200),
        ({"Authorization": f"onyx_pat_{TOKEN}"}, 403),
        ({"X-Onyx-Authorization": f"Bearer {TOKEN}"}, 200),
        ({"X-Onyx-Authorization": f"Bearer {TOKEN}", "Authorization": "Bearer on_wrong"}, 200),
        ({"X-Onyx-Authorization": "Bearer on_wrong", "Authorization": f"Bearer {TOKEN}"}, 403),
        ({"Authorization": "Bearer dn_old"}, 403),
        ({"Authorization": "Basic abc"}, 403),
        ({}, 403),
    ],
)
async def test_forms_of_credentials(headers: dict[str, str], status: int) -> None:
    async with simulated() as api:
        answer, body = await api.ask("POST", LIST, {}, headers=headers)
    assert answer == status
    if status == 403:
        assert body == NOT_AUTHENTICATED


async def test_what_is_checked_first() -> None:
    json_type = {"Content-Type": "application/json"}
    key = {"Authorization": f"Bearer {TOKEN}"}
    async with simulated() as api:
        assert (await api.ask("POST", LIST, data="{", headers=json_type))[0] == 422
        assert (await api.ask("POST", LIST, data=b"\xff", headers=json_type))[0] == 422
        assert (await api.ask("POST", LIST, {"source": "nowhere"}, headers={}))[0] == 403
        assert (await api.ask("POST", LIST, {"source": "nowhere"}))[0] == 422
        assert (await api.ask("POST", LIST, data="{}", headers=key))[0] == 422  # no content type
        assert (await api.ask("POST", LIST, data="{}", headers=key | json_type))[0] == 200
        assert (await api.ask("POST", "/nowhere", headers={}))[0] == 404
        assert (await api.ask("POST", "/nowhere/", headers={}))[0] == 404


@cases("path", ["/health", "/health/ready", "/version"])
async def test_public_paths_need_no_credentials(path: str) -> None:
    async with simulated() as api:
        assert (await api.ask("GET", path, headers={}))[0] == 200


@cases(
    "form",
    [
        {"source": "nowhere"},
        {"access_type_filters": ["secret"]},
        {"last_status_filters": ["sleeping"]},
        {"docs_count_operator": ">="},
        {"docs_count_value": "many"},
        {"source_to_page": {"nowhere": 1}},
        {"source_to_page": {"web": "first"}},
        {"name_filter": 7},
        {"get_all_connectors": "perhaps"},
        [],
        "text",
    ],
)
async def test_forms_that_are_not_valid(form: Any) -> None:
    async with simulated() as api:
        status, body = await api.ask("POST", LIST, data=json.dumps(form), headers=_json())
    assert status == 422
    assert body.keys() == {"status_code", "message", "data"}


def _json() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


@cases("query", ["page_num=-1", "page_size=0", "page_size=1001", "page_num=x"])
async def test_pages_of_attempts_have_limits(query: str) -> None:
    async with simulated() as api:
        assert (await api.ask("GET", f"/manage/admin/cc-pair/2/index-attempts?{query}"))[0] == 422


# ---- the list


async def listed(api: Api, **form: Any) -> list[dict[str, Any]]:
    status, body = await api.ask("POST", LIST, form)
    assert status == 200
    assert isinstance(body, list)
    return body


def slack_world(world: OnyxWorld, pairs: int) -> None:
    for number in range(1, pairs + 1):
        world.add_pair(Pair(number, f"channel {number}", "slack", "public", "ACTIVE", number, number, START))


@cases(
    ("page", "numbers"),
    [
        (1, range(23, 13, -1)),
        (2, range(13, 3, -1)),
        (3, range(3, 0, -1)),
        (4, None),
        (0, None),
        (-1, range(20, 10, -1)),  # entries 4 to 13
        (-9, None),
    ],
)
async def test_pages_are_plain_slices(page: int, numbers: range | None) -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 23)
        groups = await listed(api, source_to_page={"slack": page})
    if numbers is None:
        assert groups == []
        return
    (group,) = groups
    assert [row["cc_pair_id"] for row in group["indexing_statuses"]] == list(numbers)
    assert (group["current_page"], group["total_pages"]) == (page, 3)
    assert group["summary"]["total_connectors"] == 23


async def test_all_connectors_come_undivided() -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 23)
        (group,) = await listed(api, get_all_connectors=True)
    assert len(group["indexing_statuses"]) == 23
    assert (group["current_page"], group["total_pages"]) == (1, 3)


@cases(
    ("form", "numbers"),
    [
        ({"docs_count_operator": "=", "docs_count_value": 0}, [3]),
        ({"docs_count_operator": "<", "docs_count_value": 20}, [3, 2]),
        ({"docs_count_operator": ">", "docs_count_value": 9}, [2, 1]),
        ({"docs_count_operator": ">"}, [3, 2, 1]),
        ({"docs_count_value": 0}, [3, 2, 1]),
        ({"last_status_filters": ["success", "failed"]}, [2]),
        ({"name_filter": ""}, [3, 2, 1]),
        ({"name_filter": "CHANNEL 1"}, [1]),
        ({"access_type_filters": ["sync"]}, []),
        ({"nonsense": 1}, [3, 2, 1]),
    ],
)
async def test_filters(form: dict[str, Any], numbers: list[int]) -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 3)
        api.world.pairs[1].docs, api.world.pairs[2].docs = 20, 10
        api.world.add_attempt(api.world.pairs[2], status="failed", started=START)
        groups = await listed(api, **form)
    assert [row["cc_pair_id"] for group in groups for row in group["indexing_statuses"]] == numbers


async def test_the_other_index_has_its_own_attempts() -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 1)
        pair = api.world.pairs[1]
        api.world.add_attempt(pair, status="success", started=START)
        api.world.add_attempt(pair, status="failed", started=START, future=True)
        (present,), (future,) = await listed(api), await listed(api, secondary_index=True)
        _, served = await api.ask("GET", "/manage/admin/cc-pair/1/index-attempts")
    assert present["indexing_statuses"][0]["last_status"] == "success"
    assert future["indexing_statuses"][0]["last_status"] == "failed"
    assert [item["status"] for item in served["items"]] == ["success"]


async def test_read_only_pairs_come_after_editable_ones() -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 3)
        api.world.pairs[3].editable = False
        (group,) = await listed(api)
    assert [row["cc_pair_id"] for row in group["indexing_statuses"]] == [2, 1, 3]


async def test_hidden_pairs_are_hidden_everywhere() -> None:
    async with simulated() as api:
        hidden = next(pair for pair in api.world.pairs.values() if pair.hidden)
        text = json.dumps(await listed(api, get_all_connectors=True))
        status, _ = await api.ask("GET", f"/manage/admin/cc-pair/{hidden.id}")
    assert hidden.name == "DefaultCCPair"
    assert hidden.name not in text
    assert status == 404


# ---- attempts


def test_attempts_that_never_started_come_first() -> None:
    world, pair = lone_pair()
    started = [START - timedelta(minutes=minutes) for minutes in (30, 10, 20)]
    rows = [world.add_attempt(pair, status="canceled"), *(world.add_attempt(pair, started=at) for at in started)]
    assert attempts(pair) == [rows[0], rows[2], rows[3], rows[1]]


async def test_attempts_are_paged() -> None:
    async with simulated(size=0) as api:
        slack_world(api.world, 1)
        for minute in range(25):
            api.world.add_attempt(api.world.pairs[1], status="success", started=START + timedelta(minutes=minute))
        found = []
        for page in range(4):
            _, body = await api.ask("GET", f"/manage/admin/cc-pair/1/index-attempts?page_num={page}&page_size=10")
            found.append([item["id"] for item in body["items"]])
            assert body["total_items"] == 25
    assert [len(page) for page in found] == [10, 10, 5, 0]
    assert [number for page in found for number in page] == list(range(25, 0, -1))


def test_old_attempts_are_pruned_beyond_the_newest_ten() -> None:
    world, pair = lone_pair()
    for days in range(30, 0, -1):
        moment = START - timedelta(days=days, minutes=1)
        world.add_attempt(pair, status="success", started=moment, updated=moment)
    run_until(world, lambda: pair.open_attempt)
    assert len(pair.attempts) == 10
    for hours in range(200, 0, -10):
        world.add_attempt(pair, status="success", started=START, updated=START - timedelta(hours=hours))
    world.mark(pair, from_beginning=False)
    run_until(world, lambda: pair.open_attempt)
    kept = pair.attempts[:-10]
    assert kept
    assert all(world.now - attempt.updated <= timedelta(days=8) for attempt in kept)


async def test_error_rows_are_those_that_are_counted() -> None:
    async with simulated() as api:
        careless = next(pair for pair in api.world.visible if pair.profile is PROFILES["careless"])
        _, rows = await api.ask("GET", f"/manage/admin/cc-pair/{careless.id}/errors?page_size=100")
        _, runs = await api.ask("GET", f"/manage/admin/cc-pair/{careless.id}/index-attempts?page_size=1000")
    counted = {run["id"]: run["error_count"] for run in runs["items"] if run["error_count"]}
    assert counted
    assert Counter(row["index_attempt_id"] for row in rows["items"]) == counted
    assert all(run["status"] == "completed_with_errors" for run in runs["items"] if run["error_count"])


# ---- the world


def test_the_world_opens_with_every_status_and_many_sources() -> None:
    world = a_world()
    pairs = list(world.visible)
    assert {pair.status for pair in pairs} == CONNECTOR_STATUS.keys()
    assert len({pair.source for pair in pairs}) >= 12
    assert {pair.source for pair in world.pairs.values()} <= set(DOCUMENT_SOURCES)
    assert {pair.access_type for pair in pairs} == {"public", "private", "sync"}
    assert any(pair.repeated_error for pair in pairs)
    assert world.federated
    assert {"success", "failed", "interrupted", "canceled", "completed_with_errors", "in_progress"} <= {
        attempt.status for attempt in world.attempts.values()
    }


@cases("size", [1, 10, 24, 200, 1000])
def test_the_world_has_the_size_asked_for(size: int) -> None:
    world = a_world(size)
    assert len(list(world.visible)) == size
    assert len({pair.name for pair in world.visible}) == size
    numbers = [attempt.id for pair in world.visible for attempt in pair.attempts]
    assert len(set(numbers)) == len(numbers)


def test_something_is_seen_to_move_every_few_seconds() -> None:
    world, before, still, longest = a_world(), "", 0, 0
    moves = 0
    for _ in range(600):
        run(world, 1)
        now = json.dumps([entry(pair) for pair in world.visible])
        moves, still = (moves + 1, 0) if now != before else (moves, still + 1)
        longest, before = max(longest, still), now
    assert moves > 200
    assert longest < 15


def test_everything_happens_within_a_few_hours() -> None:
    world, seen, statuses, names = a_world(), Counter[str](), set[str](), set[str | None]()
    first = {pair.id for pair in world.visible}
    for _ in range(360):
        run(world, 60)
        seen.update(attempt.status for attempt in world.attempts.values())
        statuses |= {pair.status for pair in world.visible}
        names |= {pair.name for pair in world.visible}
    assert {"not_started", "in_progress", "success", "completed_with_errors", "canceled", "interrupted", "failed"} <= {
        *seen
    }
    assert {*CONNECTOR_STATUS} == statuses
    messages = {attempt.error_msg for attempt in world.attempts.values()}
    assert f"No heartbeat received for {HEARTBEAT} seconds" in messages
    assert first - world.pairs.keys(), "a pair is deleted and disappears"
    assert "Trial workspace" in names, "a pair appears"


def test_attempts_of_a_pair_follow_each_other() -> None:
    world = a_world()
    run(world, 7200)
    for pair in world.visible:
        starts = [attempt.started for attempt in pair.attempts if attempt.started]
        assert starts == sorted(starts)
        assert [attempt.id for attempt in pair.attempts] == sorted(attempt.id for attempt in pair.attempts)
        assert not any(attempt.open for attempt in pair.attempts[:-1])
        assert all(attempt.started is None or attempt.started <= attempt.updated for attempt in pair.attempts)


def test_the_past_begins_before_the_present() -> None:
    world = a_world()
    assert all(attempt.updated <= START for attempt in world.attempts.values())


# ---- one run


def test_a_run_goes_as_runs_go() -> None:
    world, pair = lone_pair(Profile({"completed_with_errors": 1}, first=200), refresh=60)
    story: list[tuple[Any, ...]] = []
    rows: list[dict[str, Any]] = []

    def second_run_over() -> bool:
        rows.append(entry(pair))
        return len(pair.attempts) == 2 and not pair.attempts[-1].open

    run_until(world, second_run_over)
    for row in rows:
        moment = (row["cc_pair_status"], row["last_status"], row["last_finished_status"], row["in_progress"])
        if not story or story[-1] != moment:
            story.append(moment)
    ended = "completed_with_errors"
    assert story == [
        ("SCHEDULED", None, None, False),
        ("SCHEDULED", "not_started", None, False),
        ("SCHEDULED", "in_progress", None, True),
        ("INITIAL_INDEXING", "in_progress", None, True),
        ("ACTIVE", ended, ended, False),
        ("ACTIVE", "not_started", ended, False),
        ("ACTIVE", "in_progress", ended, True),
        ("ACTIVE", ended, ended, False),
    ]
    first = pair.attempts[0]
    assert (first.total_docs, first.from_beginning) == (200, True)
    assert first.new_docs == 200 - len(first.failures)
    assert first.failures
    counts = [row["latest_index_attempt_docs_indexed"] for row in rows if row["last_finished_status"] is None]
    assert counts[0] is None
    grown = [count for count in counts if count is not None]
    assert grown == sorted(grown)
    assert len(set(grown)) > 5
    docs = [row["docs_indexed"] for row in rows]
    assert docs == sorted(docs)
    assert not pair.attempts[1].from_beginning


def test_last_success_is_the_start_of_the_run() -> None:
    world, pair = lone_pair()
    run_until(world, lambda: pair.success)
    assert pair.success
    assert pair.success.started
    assert entry(pair)["last_success"] == pair.success.started.isoformat().replace("+00:00", "Z")


def test_a_finished_run_waits_for_the_monitor() -> None:
    world, pair = lone_pair()
    waited = 0

    def closed() -> bool:
        nonlocal waited
        attempt = pair.latest()
        waited += attempt is not None and attempt.status == "in_progress" and attempt.left == 0
        return pair.success is not None

    run_until(world, closed)
    assert 0 < waited <= PASS


def test_a_stalled_run_is_failed_by_the_monitor() -> None:
    world, pair = lone_pair(Profile({"stalled": 1}), refresh=100_000)
    run_until(world, lambda: pair.open_attempt and pair.open_attempt.started)
    attempt = pair.attempts[0]
    run(world, 600)
    frozen = attempt.total_docs
    run(world, 1000)
    assert (attempt.status, attempt.total_docs) == ("in_progress", frozen)
    run_until(world, lambda: not attempt.open, step=15)
    assert (attempt.status, attempt.error_msg) == ("failed", "No heartbeat received for 1800 seconds")


@cases(("refresh", "runs"), [(60, 5), (None, 1)])
def test_failures_in_a_row_are_remembered_until_a_success(refresh: int | None, runs: int) -> None:
    world, pair = lone_pair(Profile({"failed": 1}), refresh=refresh)
    run_until(world, lambda: pair.repeated_error)
    assert [attempt.status for attempt in pair.attempts] == ["failed"] * runs
    assert all(attempt.error_msg and attempt.trace for attempt in pair.attempts)
    pair.profile = PROFILES["steady"]
    world.mark(pair, from_beginning=False)
    run_until(world, lambda: pair.success)
    assert not pair.repeated_error


def test_validation_errors_in_a_row_make_a_pair_invalid() -> None:
    world, pair = lone_pair("rejected", refresh=60)
    run_until(world, lambda: pair.status == "INVALID")
    assert [attempt.status for attempt in pair.attempts] == ["canceled"] * 5
    run(world, 3600)
    assert len(pair.attempts) == 5
    assert not pair.repeated_error


def test_an_interrupted_run_is_taken_up_again_at_once() -> None:
    world, pair = lone_pair(Profile({"interrupted": 1}), refresh=100_000)
    run_until(world, lambda: len(pair.attempts) == 2)
    assert pair.attempts[0].status == "interrupted"
    assert (world.now - pair.attempts[0].updated).total_seconds() <= PASS + 1


# ---- what people do


def running(world: OnyxWorld, pair: Pair) -> Attempt:
    run_until(world, lambda: pair.latest() and pair.attempts[-1].status == "in_progress")
    return pair.attempts[-1]


def test_a_pause_cancels_what_runs_a_little_later() -> None:
    world, pair = lone_pair("large", refresh=60)
    attempt = running(world, pair)
    world.pause(pair)
    assert (pair.status, attempt.status) == ("PAUSED", "in_progress")
    run(world, 5)
    frozen = attempt.total_docs
    assert (attempt.status, attempt.error_msg) == ("canceled", "Unknown")
    world.mark(pair, from_beginning=False)
    run(world, 3600)
    assert pair.attempts == [attempt]
    assert attempt.total_docs == frozen
    world.resume(pair)
    run(world, PASS)
    assert len(pair.attempts) == 2


def test_a_deleted_pair_vanishes_after_its_clean_up() -> None:
    world, pair = lone_pair("waiting")
    run_until(world, lambda: pair.open_attempt)
    world.delete(pair)
    assert (pair.status, pair.attempts[-1].status) == ("DELETING", "canceled")
    run_until(world, lambda: pair.id not in world.pairs, limit=120)


async def test_run_once_starts_at_the_next_pass() -> None:
    async with simulated(size=0) as api:
        world, pair = api.world, api.world.add_pair(lone_pair(refresh=100_000)[1])
        run_until(world, lambda: pair.success)
        path = "/manage/admin/connector/run-once"
        form = {"connector_id": 22, "credentialIds": [99], "from_beginning": True}  # misspelt: all credentials run
        assert (await api.ask("POST", path, form))[1]["data"] == 1
        assert len(pair.attempts) == 1
        run(world, PASS)
        assert pair.attempts[-1].from_beginning
        assert (await api.ask("POST", path, {"connector_id": 22, "credential_ids": []}))[1]["data"] == 0


async def test_time_moves_the_answers() -> None:
    async with simulated() as api:
        before = await listed(api, get_all_connectors=True)
        assert await listed(api, get_all_connectors=True) == before
        api.hand.move(60)
        assert await listed(api, get_all_connectors=True) != before
