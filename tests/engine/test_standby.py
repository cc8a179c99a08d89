"""What a gateway tells of systems that it does not poll."""

import logging
from os import getpid
from socket import gethostname

import pytest

from connectory.engine.polling.standby import TAKEOVER, Polled, Standby
from connectory.model import ActionFailureCode
from connectory.store import Store
from connectory.store.leases.rows import lease_of
from tests.engine.test_leases import Gateway, gateways
from tests.wait import until


def lease_metric(gateway: Gateway) -> dict[str, float]:
    samples = next(iter(gateway.engine.polls.lease.collect())).samples
    return {sample.labels["holder"]: sample.value for sample in samples if sample.labels["system"] == "scripted"}


async def test_who_polls_is_told_by_the_others(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "connectory")
    first, second = Gateway(store_url), Gateway(store_url)
    second.store.leases.expiry = 1.0
    sentence = f"scripted is polled by {gethostname()} pid {getpid()} since 20"
    async with gateways(first):
        await until(first.polled(3))
        async with gateways(second):
            (note,) = await until(lambda: notes(second))
            assert note.startswith(sentence)
            assert first.engine.notes() == []
            assert lease_metric(first) == {"this": 1.0, "other": 0.0, "nobody": 0.0}
            assert lease_metric(second) == {"this": 0.0, "other": 1.0, "nobody": 0.0}
            assert second.polls == 0
            if first.store.is_sqlite:  # there is no way to ask the other one
                refusal = await second.engine.refresh("scripted")
                assert refusal is not None
                assert refusal.code is ActionFailureCode.UPSTREAM_UNAVAILABLE
                assert refusal.message.startswith(sentence)
            await first.stop()
            await until(second.polled(3))
            assert second.engine.notes() == []
    logged = [record.message for record in caplog.records if getattr(record, "action", "") == "lease"]
    assert [line.partition(" since")[0] for line in logged] == [
        "this gateway polls scripted", sentence.partition(" since")[0], "this gateway polls scripted",
    ]  # fmt: skip


async def notes(gateway: Gateway) -> list[str]:
    return gateway.engine.notes()


async def test_that_nobody_polls_is_told_once_somebody_should_have(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connectory")
    now = 0.0
    standby = Standby(sqlite_store.leases, lease_of("docs"), "docs", lambda: now)
    for later in (0.0, 5.0, sqlite_store.leases.expiry + TAKEOVER):
        now = later
        standby.look()
        assert (standby.polled, standby.note) == (Polled.NOBODY, None)
    assert caplog.records == []
    now += 0.1
    standby.look()
    standby.look()
    assert standby.note == "nobody polls docs"
    assert [record.message for record in caplog.records] == ["nobody polls docs"]
    await sqlite_store.leases.hold(lease_of("docs"))
    standby.look()
    assert (standby.polled, standby.note) == (Polled.THIS, None)
