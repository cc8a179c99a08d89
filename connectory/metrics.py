"""What Prometheus reads: one registry per application, so that two in one process do not mix."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from connectory import __version__


class Outcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    #: not GraphQL over HTTP, or refused before execution: syntax, validation, variables
    REJECTED = "rejected"
    #: some fields failed by errors that were meant for the client
    PARTIAL = "partial"
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


class Metrics:
    """The gauges and counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        for outcome in Outcome:
            self.operations.labels(outcome)
        self.sockets, self.streams = Traffic(), Traffic()
        #: subscriptions, and distinct ones among them
        self.subscriptions: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.registry.register(_Live(self))

    def count(self, outcome: Outcome) -> None:
        """Count an operation."""
        self.operations.labels(outcome).inc()

    @contextmanager
    def operation(self) -> Iterator["Measured"]:
        """Count and time one operation by the outcome that its block sets, or by the exception that ends it."""
        measured, start = Measured(), perf_counter()
        try:
            yield measured
        except Exception:
            if measured.outcome is Outcome.CANCELED:
                measured.outcome = Outcome.INTERNAL
            raise
        finally:
            if measured.outcome is not None:
                self.count(measured.outcome)
                self.seconds.labels(measured.outcome).observe(perf_counter() - start)

    def page(self, accept: str | None) -> tuple[bytes, str]:
        """All of it as text, and the content type, in the format that the scraper prefers."""
        encode, content_type = exposition.choose_encoder(accept or "")
        return encode(self.registry), content_type


class Measured:
    """One operation while it runs; what ends without a word was canceled. None: it is not counted here."""

    outcome: Outcome | None = Outcome.CANCELED


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
