"""What Prometheus reads: one registry per application, so that two in one process do not mix.

Beside what this process counts there is what the store holds, read when it is asked for. All of it is listed in
``docs/operations.md``.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from connectory import __version__
from connectory.observability.gauges import families
from connectory.observability.load import Load
from connectory.store import Store
from connectory.store.reads.figures import Figures, read_figures
from connectory.store.write_health import is_failure, reason

#: Seconds that the store has for its part; a scraper waits for ten, by default.
_STORE_WITHIN = 2.0

#: Of the connections to the store, by what they are for.
_LANES = (
    ("", "Connections to the store that there may be."),
    ("_in_use", "Connections to the store that are in use."),
    ("_waiting", "Those who wait for a connection to the store."),
)

log = logging.getLogger(__name__)


class ConnectionFigures(Protocol):
    """What the server knows of its connections."""

    @property
    def ended(self) -> Mapping[Any, int]:
        """How many there were that it ended itself, by the reason."""

    @property
    def open(self) -> int:
        """How many there are."""

    @property
    def held(self) -> int:
        """Bytes that are held for clients."""


class OperationOutcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    #: not GraphQL over HTTP, or refused before execution: syntax, validation, variables
    REJECTED = "rejected"
    #: some fields failed by errors that were meant for the client
    PARTIAL = "partial"
    #: the store gave no answer to some of it
    UNAVAILABLE = "unavailable"
    #: something unexpected happened
    INTERNAL = "internal"
    #: the client went away
    CANCELED = "canceled"


@dataclass(slots=True)
class Traffic:
    """What one transport of live answers carries. Plain numbers: a counter of Prometheus costs as much as sending."""

    #: open now
    connections: int = 0
    #: results sent
    results: int = 0
    #: connections closed because their client did not read
    too_slow: int = 0


class PollMetrics:
    """What becomes of one engine's polls; registered by the application that it is part of."""

    def __init__(self) -> None:
        self.seconds = Histogram(
            "connectory_poll_seconds",
            "Time that a system took to answer a poll, or to fail it.",
            ["system"],
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
            registry=None,
        )
        self.failures = Counter(
            "connectory_poll_failures", "Polls that read nothing, by what failed.", ["system", "code"], registry=None
        )
        self.lease = Gauge(
            "connectory_system_lease",
            "1 for who polls a system, as this gateway sees it: this one, another one, or nobody.",
            ["system", "holder"],
            registry=None,
        )


class Deliveries:
    """What becomes of one gateway's notices."""

    def __init__(self) -> None:
        self.ended = Counter(
            "connectory_deliveries", "Deliveries that came to their end: delivered or dead.", ["receiver", "status"],
            registry=None,
        )  # fmt: skip
        self.failures = Counter(
            "connectory_delivery_failures", "Attempts that a receiver did not accept.", ["receiver"], registry=None
        )

    def begin(self, receivers: Iterable[str]) -> None:
        """A counter that begins at 0 is one whose first step can be seen."""
        for receiver in receivers:
            self.failures.labels(receiver)
            for status in ("delivered", "dead"):
                self.ended.labels(receiver, status)


class Metrics:
    """The gauges and counters of one application over one store."""

    def __init__(self, store: Store, polls: PollMetrics) -> None:
        self.registry = CollectorRegistry()
        self._store = store
        #: what the store held at the last scrape; None: it did not answer
        self.figures: Figures | None = None
        #: names of those who are sent notices
        self.receivers: frozenset[str] = frozenset()
        Info("connectory_build", "The version that runs.", registry=self.registry).info({"version": __version__})
        self.operations = Counter(
            "connectory_graphql_operations", "GraphQL operations by outcome.", ["outcome"], registry=self.registry
        )
        self.seconds = Histogram(
            "connectory_graphql_operation_seconds",
            "Time from request to answer.",
            ["outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        for outcome in OperationOutcome:
            self.operations.labels(outcome)
        self.load = Load()
        self.registry.register(self.load)
        self.sockets, self.streams = Traffic(), Traffic()
        #: subscriptions, and distinct ones among them
        self.subscriptions: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.registry.register(_Live(self))
        self.registry.register(_Stored(self, store))
        for counted in (polls.seconds, polls.failures, polls.lease):
            self.registry.register(counted)
        ProcessCollector(registry=self.registry)

    def add_deliveries(self, deliveries: Deliveries, receivers: Iterable[str]) -> None:
        """Count these too."""
        self.receivers = frozenset(receivers)
        deliveries.begin(self.receivers)
        for counted in (deliveries.ended, deliveries.failures):
            self.registry.register(counted)

    def add_connections(self, connections: ConnectionFigures) -> None:
        """Count these too."""
        self.registry.register(_Connections(connections))

    def count(self, outcome: OperationOutcome) -> None:
        """Count an operation."""
        self.operations.labels(outcome).inc()

    @contextmanager
    def operation(self) -> Iterator["Measured"]:
        """Count and time one operation by the outcome that its block sets, or by the exception that ends it."""
        measured, start = Measured(), perf_counter()
        try:
            yield measured
        except Exception:
            if measured.outcome is OperationOutcome.CANCELED:
                measured.outcome = OperationOutcome.INTERNAL
            raise
        finally:
            if measured.outcome is not None:
                self.count(measured.outcome)
                self.seconds.labels(measured.outcome).observe(perf_counter() - start)

    async def page(self, accept: str | None) -> tuple[bytes, str]:
        """All of it as text, and the content type, in the format that the scraper prefers. Without what the store holds
        where that does not answer."""
        self.figures = await self._read()
        encode, content_type = exposition.choose_encoder(accept or "")
        return encode(self.registry), content_type

    async def _read(self) -> Figures | None:
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                return await read_figures(self._store)
        except Exception as error:
            if not is_failure(error):
                raise
            log.warning(f"the store cannot be counted: {reason(error)}", extra={"action": "metrics_incomplete"})
            return None


class Measured:
    """One operation while it runs; what ends without a word was canceled. None: it is not counted here."""

    outcome: OperationOutcome | None = OperationOutcome.CANCELED


class _Stored(Collector):
    """The store, as it was when the page was asked for."""

    def __init__(self, metrics: Metrics, store: Store) -> None:
        self._metrics, self._write_health, self._lanes = metrics, store.write_health, store.lanes
        self._wal = store.wal

    def collect(self) -> Iterable[Metric]:
        figures = self._metrics.figures
        yield GaugeMetricFamily("connectory_store_up", "Whether the store could be read.", value=figures is not None)
        yield CounterMetricFamily(
            "connectory_store_write_failures", "Transactions that the store has not taken.", self._write_health.failures
        )
        yield GaugeMetricFamily(
            "connectory_store_write_waiting_seconds",
            "How long the present statement of a write has been waiting for the store.",
            self._write_health.waited,
        )
        yield from self._connections()
        if self._wal is not None:
            yield GaugeMetricFamily("connectory_store_wal_bytes", "Size of SQLite's write-ahead log.", self._wal.size)
        if figures is not None:
            yield from families(figures, self._metrics.receivers)

    def _connections(self) -> Iterable[Metric]:
        size, in_use, waiting = (
            GaugeMetricFamily(f"connectory_store_connections{name}", documentation, labels=["lane"])
            for name, documentation in _LANES
        )
        for lane, connections in self._lanes.items():
            size.add_metric([lane], connections.size)
            in_use.add_metric([lane], connections.in_use)
            waiting.add_metric([lane], connections.waiting)
        return size, in_use, waiting


class _Connections(Collector):
    """Of every kind, read when it is asked for."""

    def __init__(self, connections: ConnectionFigures) -> None:
        self._open = connections

    def collect(self) -> Iterable[Metric]:
        ended = CounterMetricFamily(
            "connectory_connections_ended", "Connections that the gateway has ended, by the reason.", labels=["reason"]
        )
        for why, count in self._open.ended.items():
            ended.add_metric([why], count)
        return (
            GaugeMetricFamily("connectory_connections", "Open connections of any kind.", self._open.open),
            GaugeMetricFamily(
                "connectory_connections_held_bytes",
                "Requests that are not complete and answers that are not taken, in memory.",
                self._open.held,
            ),
            ended,
        )


class _Live(Collector):
    """The live side, read when it is asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        open_now = GaugeMetricFamily("connectory_live_connections", "Live connections.", labels=["transport"])
        results = CounterMetricFamily("connectory_live_results", "Results sent to subscribers.", labels=["transport"])
        too_slow = CounterMetricFamily(
            "connectory_live_too_slow", "Connections closed because nobody read them.", labels=["transport"]
        )
        for name, traffic in (("websocket", self._metrics.sockets), ("sse", self._metrics.streams)):
            open_now.add_metric([name], traffic.connections)
            results.add_metric([name], traffic.results)
            too_slow.add_metric([name], traffic.too_slow)
        subscriptions, distinct = self._metrics.subscriptions()
        return (
            open_now,
            results,
            too_slow,
            GaugeMetricFamily("connectory_live_subscriptions", "Subscriptions.", value=subscriptions),
            GaugeMetricFamily("connectory_live_broadcasts", "Distinct subscriptions.", value=distinct),
        )
