"""What Prometheus is told of systems, connectors, notices and the store, and that rules and documents name it."""

import asyncio
import re

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from connectory.observability import metrics as module
from connectory.observability.metrics import Deliveries, Metrics, PollMetrics
from connectory.store import Store
from connectory.store.reads.figures import Figures
from connectory.web.open_connections import OpenConnections
from sources.base import SourceUnreachable
from tests.api.test_actions import gateway, refresh
from tests.api.test_notices import filled
from tests.facts import Scripted
from tests.paths import ROOT


class Page:
    """What a scrape reads."""

    def __init__(self, text: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    @property
    def names(self) -> set[str]:
        counters = {f"{family.name}_total" for family in self.families if family.type == "counter"}
        return {sample.name for sample in self.samples} | {family.name for family in self.families} | counters

    def values(self, name: str, by: str) -> dict[str, float]:
        """What is not 0, by the value of one label."""
        found = [sample for sample in self.samples if sample.name == f"connectory_{name}"]
        assert found, name
        return {sample.labels[by]: sample.value for sample in found if sample.value}


async def scraped(metrics: Metrics) -> Page:
    return Page((await metrics.page(None))[0].decode())


def watched(store: Store) -> Metrics:
    metrics = Metrics(store, PollMetrics())
    metrics.add_connections(OpenConnections(1, 1))
    metrics.add_deliveries(Deliveries(), ["pager", "chat"])
    return metrics


async def test_what_the_store_holds(store: Store) -> None:
    scene = await filled(store)
    page = await scraped(watched(store))
    assert page.values("system_health", "health") == {"UP": 1}
    for name in ("last_poll", "last_success", "last_answer"):
        assert page.values(f"system_{name}_timestamp_seconds", "kind") == {"scripted": scene.now.timestamp()}
    assert page.values("connectors", "health") == {"FAILING": 1, "UNKNOWN": 1}
    assert page.values("conditions", "code") == {"OVERDUE": 1, "NO_PROGRESS": 1}
    assert page.values("notices_open", "severity") == {"WARNING": 2}
    assert page.values("deliveries_pending", "receiver") == {"pager": 4}
    assert [s.labels for s in page.samples if s.name == "connectory_deliveries_pending"] == [
        {"receiver": "chat"}, {"receiver": "pager"}
    ]  # fmt: skip
    oldest = page.values("deliveries_oldest_pending_timestamp_seconds", "receiver")["pager"]
    assert scene.now.timestamp() - 300 < oldest < scene.now.timestamp()
    (position,) = [sample.value for sample in page.samples if sample.name == "connectory_log_position"]
    assert position > 0


async def hangs(_: Store) -> Figures:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def fails(_: Store) -> Figures:
    raise OperationalError("SELECT", {}, Exception("gone"))


@pytest.mark.parametrize("how", [hangs, fails])
async def test_a_store_that_does_not_answer_costs_only_its_part(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, how: object
) -> None:
    monkeypatch.setattr(module, "read_figures", how)
    monkeypatch.setattr(module, "_STORE_WITHIN", 0.05)
    page = await scraped(watched(sqlite_store))
    assert [sample.value for sample in page.samples if sample.name == "connectory_store_up"] == [0]
    assert {"connectory_graphql_operations_total", "process_resident_memory_bytes"} <= page.names
    assert "connectory_system_health" not in page.names


async def test_polls_are_timed_and_failures_counted_by_what_failed(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        source.says = SourceUnreachable("nobody there")
        await refresh(client)
        async with client.session.get(f"{client.url}/metrics") as response:
            page = Page(await response.text())
    assert page.values("poll_seconds_count", "system") == {"scripted": 2}
    assert page.values("poll_failures_total", "code") == {"UNREACHABLE": 1}
    assert page.values("system_consecutive_failures", "system") == {"scripted": 1}


async def test_rules_and_documents_name_what_there_is(sqlite_store: Store) -> None:
    await filled(sqlite_store)
    page = await scraped(watched(sqlite_store))
    rules = yaml.safe_load((ROOT / "docs/alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"connectory_\w+", rule["expr"])}
    assert len(rules) >= 6
    assert named <= page.names
    document = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(connectory_\w+)`", document))
    ours = {name for each in page.families if (name := each.name).startswith("connectory_") and "_created" not in name}
    assert told <= page.names
    for name in ours:
        assert {name, f"{name}_total", name.removesuffix("_info") + "_info"} & told, f"{name} is not told of"
    for rule in rules:
        assert rule["alert"] in document
