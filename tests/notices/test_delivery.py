"""Delivering over real HTTP: in order, once accepted never again, and what becomes of what is not accepted."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import update

from connectory.model import ConnectorFact, JobFact, JobStatus
from connectory.notices import notifier
from connectory.notices.deliverer import Backoff, Deliverer
from connectory.notices.notices import Notices, notifying
from connectory.notices.payload import slack
from connectory.notices.sending import AttemptOutcome, Sender
from connectory.notices.settings import ReceiverSettings
from connectory.observability.metrics import Deliveries
from connectory.store import Store
from connectory.store.leases.rows import NOTICES_LEASE, Lease
from connectory.store.log.bus import Bus
from connectory.store.tables import DELIVERIES
from connectory.store.writes.notices import move_notifier
from connectory.web.serving import serving
from tests.facts import at, connector, job
from tests.notices.receiver import SECRET, Receiver
from tests.notices.scene import Scene, deliveries
from tests.wait import until

#: Fast enough for a test.
FAST = Backoff(0.01, 0.05)


class Stand(Scene):
    """A scene whose notices are delivered at the time of the clock on the wall."""

    bus: Bus

    @classmethod
    async def of(cls, store: Store) -> "Stand":
        found = await cls.open(store)
        assert isinstance(found, Stand)
        found.bus = Bus()
        await found.poll([connector()])
        return found

    async def breaks(self, number: int) -> None:
        await self._ends(f"f{number}", JobStatus.FAILED)

    async def mends(self, number: int) -> None:
        await self._ends(f"s{number}", JobStatus.SUCCEEDED)

    async def _ends(self, id: str, status: JobStatus) -> None:
        moment = at(self.seconds + 15)
        await self.sees([connector()], [job(id, status=status, order_at=moment, completed_at=moment)])

    async def sees(self, connectors: Sequence[ConnectorFact], jobs: Sequence[JobFact] = ()) -> None:
        self.bus.wake(await self.poll(connectors, jobs) or 0)

    @asynccontextmanager
    async def delivering(self, *receivers: ReceiverSettings, backoff: Backoff = FAST) -> AsyncIterator[Notices]:
        notices = Notices(self.store, self.bus, receivers, chance=Random(3), backoff=backoff)
        async with notifying(notices):
            yield notices


def count(of: Sequence[Any], least: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len(of) >= least

    return look


def made(store: Store, number: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len(await deliveries(store)) == number

    return look


def settled(store: Store, number: int) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """So many deliveries, none of which waits."""

    async def look() -> list[dict[str, Any]]:
        rows = await deliveries(store)
        done = [row for row in rows if row["delivered_at"] or row["dead_at"]]
        return rows if len(rows) == len(done) == number else []

    return look


async def test_a_notice_and_its_recovery_arrive_in_order_and_signed(store: Store) -> None:
    stand = await Stand.of(store)
    async with Receiver().serving() as receiver, stand.delivering(receiver.settings()):
        await stand.breaks(1)
        await until(count(receiver.got, 1))
        await stand.mends(1)
        await until(settled(store, 2))
    first, second = receiver.got
    assert [message.told["phase"] for message in receiver.got] == ["RAISED", "RECOVERED"]
    notice = first.told["notice"]
    assert first.told["version"] == 1
    assert first.told["delivery"] == first.id != second.id
    assert (notice["kind"], notice["code"], notice["severity"]) == ("JOB_FAILED", None, "WARNING")
    assert notice["system"] == {"id": stand.id, "name": "scripted", "kind": "scripted"}
    assert notice["connector"]["externalId"] == "a"
    assert notice["job"]["externalId"] == "f1"
    assert notice["recoveredAt"] is None
    assert second.told["notice"]["recoveryMessage"] == "Its last job succeeded."
    assert second.told["notice"]["id"] == notice["id"]
    for message in receiver.got:
        assert message.headers["Content-Type"] == "application/json"
        assert verified(message.headers, message.body) == "authentic"
        assert verified(message.headers, message.body + b" ") == "forged"
        assert verified({**message.headers, "Connectory-Timestamp": "1"}, message.body) == "forged"


#: Signs with openssl instead of Python's hmac, and knows nothing of our code.
_VERIFY = """
import subprocess, sys
timestamp, claimed, secret = sys.argv[1:]
body = sys.stdin.buffer.read()
command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-r"]
digest = subprocess.run(command, input=timestamp.encode() + b"." + body, capture_output=True, check=True)
print("authentic" if "sha256=" + digest.stdout.decode().split()[0] == claimed else "forged")
"""


def verified(headers: Any, body: bytes) -> str:
    arguments = [headers["Connectory-Timestamp"], headers["Connectory-Signature"], SECRET]
    done = subprocess.run([sys.executable, "-c", _VERIFY, *arguments], input=body, capture_output=True, check=True)
    return done.stdout.decode().strip()


async def test_a_receiver_that_is_down_for_a_while_gets_everything_in_order_and_once(store: Store) -> None:
    stand, receiver = await Stand.of(store), Receiver()
    async with stand.delivering(receiver.settings(), backoff=Backoff(0.1, 0.5)) as gateway:
        for number in range(3):
            for change in (stand.breaks, stand.mends):
                so_far = len(await deliveries(store))
                await change(number)
                await until(made(store, so_far + 1))

        async def tried() -> bool:
            return (await deliveries(store))[0]["attempts"] >= 3

        await until(tried)
        (first, *others) = await deliveries(store)
        assert first["last_error"] == f"Cannot connect to 127.0.0.1:{receiver.port}: Connection refused."
        assert [row["attempts"] for row in others] == [0] * 5, "nothing overtakes what waits"
        receiver.answers = [500, 200, 503, 200]
        async with receiver.serving():
            rows = await until(settled(store, 6))
    counted = gateway.deliveries.ended.labels("pager", "delivered")
    assert counted._value.get() == 6
    assert gateway.deliveries.failures.labels("pager")._value.get() == sum(row["attempts"] - 1 for row in rows)
    assert all(row["delivered_at"] and row["last_error"] is None for row in rows)
    assert [message.id for message in receiver.accepted] == [row["id"] for row in rows]
    assert [message.told["phase"] for message in receiver.accepted] == ["RAISED", "RECOVERED"] * 3
    assert len(receiver.got) == 8


def asks_to_wait(seconds: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=429, headers={"Retry-After": seconds})


#: A date that no clock has.
NEVER = "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"


def points_elsewhere() -> web.Response:
    return web.Response(status=307, headers={"Location": "/hooks/in?key=other"})


def breaks_off() -> None:
    return None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (500, "HTTP 500: Internal Server Error"),
        (401, "HTTP 401: Unauthorized"),
        (404, "HTTP 404: Not Found"),
        (408, "HTTP 408: Request Timeout"),
        (asks_to_wait("0"), "HTTP 429: Too Many Requests"),
        (asks_to_wait(NEVER), "HTTP 429: Too Many Requests"),
        (points_elsewhere, "HTTP 307: it points elsewhere, and redirects are not followed."),
        (breaks_off, "The server closed the connection without an answer."),
    ],
    ids=["500", "401", "404", "408", "429", "429 for ever", "redirect", "closes"],
)  # fmt: skip
async def test_what_may_get_better_is_sent_again(sqlite_store: Store, answer: Any, error: str) -> None:
    stand = await Stand.of(sqlite_store)
    receiver = Receiver(answer, 410)
    seen: list[Any] = []

    async def failed() -> bool:
        seen.extend(row["last_error"] for row in await deliveries(sqlite_store) if row["last_error"])
        return bool(seen)

    async with receiver.serving():
        receiver.open.clear()
        async with stand.delivering(receiver.settings()):
            await stand.breaks(1)
            receiver.open.set()
            await until(failed, every=0.001)
            await until(settled(sqlite_store, 1))
    assert seen[0].startswith(error)
    assert len(receiver.got) == 2
    assert receiver.got[0].id == receiver.got[1].id


async def test_retry_after_is_heeded(sqlite_store: Store) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver(asks_to_wait("3600"))

    async def waits() -> list[dict[str, Any]]:
        return [row for row in await deliveries(sqlite_store) if row["last_error"]]

    async with receiver.serving():
        async with stand.delivering(receiver.settings()):
            await stand.breaks(1)
            (row,) = await until(waits)
        assert (row["next_attempt_at"] - row["created_at"]).total_seconds() > 3500
        async with stand.delivering(receiver.settings()):  # also across a restart
            await stand.mends(1)
            await until(made(sqlite_store, 2))
        assert len(receiver.got) == 1


async def test_an_accident_is_one_messages_own(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is that nobody foresaw: it is tried again, and given up in its time; then the next one goes out."""
    stand, receiver, send = await Stand.of(store), Receiver(), Sender.send
    tries: list[str | None] = []

    async def send_or_fail(self: Sender, delivery: Any) -> Any:
        (first, *_) = await deliveries(store)
        if delivery.id != first["id"]:
            return await send(self, delivery)
        tries.append(first["last_error"])
        if len(tries) == 3:
            async with store.write() as connection:
                await connection.execute(update(DELIVERIES).values(created_at=at(-90_000)))
        raise OverflowError(f"too large for {receiver.url}")

    monkeypatch.setattr(Sender, "send", send_or_fail)
    async with receiver.serving(), stand.delivering(receiver.settings()):
        await stand.breaks(1)
        await until(count(tries, 3))
        await stand.mends(1)
        await until(made(store, 2))
        await stand.breaks(2)
        dead, _, sound = await until(settled(store, 3))
    assert "OverflowError" in caplog.text
    assert tries[0] is None
    assert {*tries[1:], dead["last_error"]} == {"The request failed."}, "what it was stands in the log"
    assert (dead["attempts"], dead["dead_at"] is not None) == (len(tries), True)
    assert sound["delivered_at"] is not None
    assert [message.told["phase"] for message in receiver.got] == ["RAISED"]


@pytest.mark.parametrize("status", [400, 405, 410, 413, 422])
async def test_what_is_refused_for_good_is_dead_and_the_next_one_goes_on(sqlite_store: Store, status: int) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver(status)
    async with receiver.serving(), stand.delivering(receiver.settings()):
        await stand.breaks(1)
        await until(settled(sqlite_store, 1))
        await stand.mends(1)
        await until(settled(sqlite_store, 2))
        await stand.breaks(2)
        dead, end, sound = await until(settled(sqlite_store, 3))
    assert dead["dead_at"] is not None
    assert dead["last_error"].startswith(f"HTTP {status}")
    assert (end["attempts"], end["last_error"]) == (0, "Its RAISED was never accepted.")
    assert sound["delivered_at"] is not None
    assert [message.told["phase"] for message in receiver.accepted] == ["RAISED"]


async def test_what_is_not_accepted_for_24_hours_is_dead(sqlite_store: Store) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver()
    receiver.open.clear()
    await stand.breaks(1)
    stand.receivers = [receiver.settings()]
    await stand.notifier().look()
    async with sqlite_store.write() as connection:
        await connection.execute(update(DELIVERIES).values(created_at=at(0)))
    receiver.answers = [500]
    receiver.open.set()
    async with receiver.serving(), stand.delivering(receiver.settings()):
        (row,) = await until(settled(sqlite_store, 1))
    assert row["dead_at"] is not None
    assert len(receiver.got) == 1, "one attempt at least"


async def test_a_slow_receiver_holds_up_nobody_else(sqlite_store: Store) -> None:
    stand, slow, quick = await Stand.of(sqlite_store), Receiver(), Receiver()
    slow.open.clear()
    async with (
        slow.serving(),
        quick.serving(),
        stand.delivering(slow.settings("slow", timeout=0.2), quick.settings("quick")),
    ):
        await stand.breaks(1)
        await until(count(quick.got, 1))

        async def timed_out() -> list[str]:
            return [row["last_error"] for row in await deliveries(sqlite_store) if row["last_error"]]

        assert await until(timed_out) == ["No answer within 0.2 seconds."]
        slow.open.set()
        await until(settled(sqlite_store, 2))
    assert len(quick.accepted) == 1


async def test_stopping_waits_for_the_answer_and_a_restart_does_not_send_it_again(sqlite_store: Store) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver()
    receiver.open.clear()
    async with receiver.serving():
        async with stand.delivering(receiver.settings()):
            await stand.breaks(1)

            async def under_way() -> bool:
                return any(row["attempts"] for row in await deliveries(sqlite_store))

            await until(under_way)
            asyncio.get_running_loop().call_later(0.1, receiver.open.set)
        (row,) = await deliveries(sqlite_store)
        assert row["delivered_at"] is not None
        async with stand.delivering(receiver.settings()):
            await stand.mends(1)
            await until(settled(sqlite_store, 2))
    assert [message.told["phase"] for message in receiver.got] == ["RAISED", "RECOVERED"]


async def test_slack_gets_text_and_blocks(sqlite_store: Store) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver()
    async with receiver.serving(), stand.delivering(receiver.settings(format="slack")):
        odd = connector(name="Papers <&>")
        await stand.sees([odd])
        await stand.sees([odd], [job("1", status=JobStatus.FAILED, error_message="No <key>.", order_at=at(60))])
        await until(settled(sqlite_store, 1))
    (message,) = receiver.got
    assert message.told["text"] == ":warning: Papers &lt;&amp;&gt; (scripted): a job failed: No &lt;key&gt;."
    assert [block["type"] for block in message.told["blocks"]] == ["section", "context"]
    assert not [name for name in message.headers if name.startswith("Connectory")]


async def test_errors_show_neither_the_url_nor_the_secret(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def echoes() -> web.Response:
        return web.Response(status=400, text=f"no such hook: {receiver.url} hooks/in?key=of-the-url {SECRET}")

    stand, receiver = await Stand.of(sqlite_store), Receiver(echoes)
    async with receiver.serving(), stand.delivering(receiver.settings()):
        await stand.breaks(1)
        (row,) = await until(settled(sqlite_store, 1))
    said = json.dumps([row["last_error"], caplog.text, repr(receiver.settings())])
    assert "no such hook" in said
    assert "of-the-url" not in said
    assert SECRET not in said


@pytest.mark.parametrize("host", ["a..example", "a" * 70 + ".example"])
async def test_a_host_that_no_name_can_be_is_a_failed_attempt(host: str) -> None:
    sender = Sender(ReceiverSettings.model_validate({"name": "x", "url": f"http://{host}/hook-key", "format": "slack"}))
    told = {"severity": "WARNING", "title": "", "message": "", "kind": "", "since": ""}
    payload = json.dumps({"phase": "RAISED", "notice": {**told, "system": None}})
    outcome = await sender.send(SimpleNamespace(id="1", payload=payload))
    await sender.close()
    assert outcome.error
    assert "hook-key" not in outcome.error


async def test_no_proxy_of_the_environment_is_asked(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    stand, receiver = await Stand.of(sqlite_store), Receiver()
    async with receiver.serving(), stand.delivering(receiver.settings()):
        await stand.breaks(1)
        await until(settled(sqlite_store, 1))
    assert len(receiver.accepted) == 1


async def test_what_waits_for_a_receiver_that_is_no_longer_configured_is_dead(sqlite_store: Store) -> None:
    stand, receiver = await Stand.of(sqlite_store), Receiver()
    async with stand.delivering(receiver.settings("old")):
        await stand.breaks(1)
        await until(made(sqlite_store, 1))
    async with receiver.serving(), stand.delivering(receiver.settings("new")):
        old, new = await until(settled(sqlite_store, 2))
    assert (old["receiver"], old["last_error"]) == ("old", "The receiver is no longer configured.")
    assert (new["receiver"], new["delivered_at"] is not None) == ("new", True)


async def test_a_receiver_that_is_back_hears_of_what_is_open_and_of_what_ended(store: Store) -> None:
    stand, receiver, away = await Stand.of(store), Receiver(), Receiver()
    async with receiver.serving():
        async with stand.delivering(receiver.settings()):
            await stand.breaks(1)
            await until(settled(store, 1))
        async with stand.delivering():
            await stand.mends(1)
            await until(settled(store, 2))
        async with stand.delivering(away.settings("away")):
            await stand.breaks(2)
            await until(made(store, 3))
        for number, names in ((3, ["pager"]), (4, ["pager", "away"])):
            async with stand.delivering(*(receiver.settings(name) for name in names)):
                await until(count(receiver.got, number))
    told = [(message.id.split(".", 1)[1], message.told["phase"]) for message in receiver.accepted]
    assert told == [
        ("pager.raised", "RAISED"), ("pager.recovered", "RECOVERED"), ("pager.raised", "RAISED"),
        ("away.raised", "RAISED"),
    ]  # fmt: skip


@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_clock_that_was_set_back_holds_up_nothing_new(sqlite_store: Store, attempts: int) -> None:
    stand = await Stand.of(sqlite_store)
    await stand.breaks(1)
    stand.receivers = [Receiver().settings()]
    await stand.notifier().look()
    async with sqlite_store.write() as connection:
        await connection.execute(update(DELIVERIES).values(attempts=attempts))
    earlier = stand.now - timedelta(hours=6)
    each = Deliverer(
        sqlite_store,
        stand.receivers[0],
        Deliveries(),
        lease=Lease(NOTICES_LEASE, 0),
        clock=lambda: earlier,
        chance=Random(1),
        backoff=Backoff(longest=60),
    )
    assert await each._next() == [0.0, 60.0][attempts]
    await each._sender.close()
    assert [row["attempts"] for row in await deliveries(sqlite_store)] == [1]


@pytest.mark.parametrize(
    "tail",
    ["in?token={}", "api/webhooks/1234/{}", "in#{}", "in?a=1&b={}"],
    ids=["query", "path", "fragment", "last"],
)
async def test_errors_show_no_piece_of_the_url_that_may_be_a_key(tail: str) -> None:
    key, spelled = "T0KEN T0KEN T0KEN", "T0KEN%20T0KEN%20T0KEN"
    answers = {"url": f"http://127.0.0.1:9/{tail.format(spelled)}", "name": "x", "format": "slack"}
    redacted = Sender(ReceiverSettings.model_validate(answers))._redact(f"no such webhook: {key} or {spelled}")
    assert "T0KEN" not in redacted
    assert redacted.startswith("no such webhook: ")


def test_a_piece_of_the_url_may_be_a_key_from_eight_characters_on() -> None:
    url = "http://127.0.0.1:9/abcdefgh/1234567?z1234567&y1234567=x1234567;w1234567#v1234567"
    told = Sender(ReceiverSettings.model_validate({"name": "x", "url": url, "format": "slack"}))._redact
    for piece in ("abcdefgh", "z1234567", "y1234567", "x1234567", "w1234567", "v1234567"):
        assert piece not in told(f"not {piece} here")
    assert told("not 1234567 here") == "not 1234567 here"


async def test_a_store_that_fails_is_told_once_until_it_is_back(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails, looks = [True, True, False, True, False], 0

    async def fail_or_not(*_: Any) -> None:
        nonlocal looks
        looks += 1
        if looks <= len(fails) and fails[looks - 1]:
            raise OSError("gone")

    async def at_once(_: float | None) -> None:
        await asyncio.sleep(0)

    async def enough() -> bool:
        return looks > len(fails)

    monkeypatch.setattr("connectory.notices.deliverer.next_delivery", fail_or_not)
    each = Deliverer(
        sqlite_store,
        Receiver().settings(),
        Deliveries(),
        clock=lambda: at(0),
        chance=Random(1),
        backoff=FAST,
        lease=Lease(NOTICES_LEASE, 0),
    )
    monkeypatch.setattr(each, "_rest", at_once)
    task = asyncio.create_task(each.run())
    await until(enough)
    task.cancel()
    await asyncio.wait([task])
    assert [record.levelname for record in caplog.records if "cannot be read or written: gone" in record.message] == [
        "WARNING",
        "WARNING",
    ]


@pytest.mark.parametrize(
    ("message", "end"),
    [("<" * 3000, "&lt;"), ("x" + "<" * 3000, "&lt;"), ("all @channel", "all @\N{ZERO WIDTH SPACE}channel")],
)
def test_slacks_form_calls_nobody_and_cuts_no_escape(message: str, end: str) -> None:
    notice = {"severity": "WARNING", "title": "t", "message": message, "system": None, "kind": "", "since": ""}
    made = slack({"phase": "RAISED", "notice": notice})
    for text in (made["text"], made["blocks"][0]["text"]["text"]):
        assert text.endswith(end)
        assert len(text) <= 2_800


async def test_what_a_look_wrote_goes_out_though_the_look_fails(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = await Stand.of(sqlite_store)

    async def fail_in_the_end(*arguments: Any, position: int | None = None, **more: Any) -> None:
        if position is not None:
            raise OSError("on purpose")
        await move_notifier(*arguments, **more)

    monkeypatch.setattr(notifier, "move_notifier", fail_in_the_end)
    async with Receiver().serving() as receiver, stand.delivering(receiver.settings()):
        await stand.breaks(1)
        await until(count(receiver.got, 1))
        await stand.mends(1)
        await until(count(receiver.got, 2))


async def test_knocking_delivers_nothing_and_any_answer_will_do() -> None:
    """But for a proxy's that nobody answers behind it, and for one that leads elsewhere."""
    methods: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        methods.append(request.method)
        return web.Response(status=int(request.match_info["status"]), headers={"Location": "https://elsewhere.example"})

    app = web.Application()
    app.router.add_route("*", "/{status}", answer)
    found = {}
    async with serving(app, "127.0.0.1", 0) as url:
        for status in (200, 204, 401, 404, 405, 500, 501, 301, 308, 502, 503, 504):
            found[status] = (await knocked(f"{url}/{status}")).error
    refused = {status for status, error in found.items() if error is not None}
    assert refused == {301, 308, 502, 503, 504}
    assert all(f"HTTP {status}" in str(found[status]) for status in refused)
    assert set(methods) == {"OPTIONS"}


async def test_knocking_where_nobody_is_says_so_without_the_url() -> None:
    receiver = Receiver()
    outcome = await knocked(receiver.url)
    assert "Connection refused" in str(outcome.error)
    assert "of-the-url" not in str(outcome.error)


async def knocked(url: str) -> AttemptOutcome:
    sender = Sender(ReceiverSettings.model_validate({"name": "pager", "url": url, "format": "slack", "timeout": 5}))
    try:
        return await sender.knock()
    finally:
        await sender.close()
