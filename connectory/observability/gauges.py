"""What the store holds, as Prometheus reads it: gauges by system, and by receiver. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from connectory.model import ConditionSeverity, ConnectorHealth, SystemHealth
from connectory.store.reads.figures import Figures

#: Column of a system's row → what it is; moments that are still to come are left out.
_MOMENTS = {
    "last_poll_at": ("last_poll", "When the system was polled last."),
    "last_success_at": ("last_success", "When the system last answered completely."),
    "observed_at": ("last_answer", "When the system's list was read last, completely or not."),
    "next_poll_at": ("next_poll", "When the system is to be polled next."),
}
_NUMBERS = {
    "stale_after": ("stale_after_seconds", "Seconds without an answer after which values count as stale."),
    "consecutive_failures": ("consecutive_failures", "Polls in a row that read nothing."),
}


def families(figures: Figures, receivers: Iterable[str]) -> Iterator[Metric]:
    """``receivers`` are told of though nothing waits for them."""
    yield _health(figures.systems)
    for column, (name, documentation) in _MOMENTS.items():
        moments = {row: getattr(row, column) for row in figures.systems}
        values = {row: moment.timestamp() for row, moment in moments.items() if moment is not None}
        yield _of_systems(f"{name}_timestamp_seconds", documentation, values)
    for column, (name, documentation) in _NUMBERS.items():
        yield _of_systems(name, documentation, {row: getattr(row, column) for row in figures.systems})
    yield from _counts(figures)
    yield from _deliveries(figures, receivers)
    yield GaugeMetricFamily("connectory_log_position", "The newest position of the change log.", figures.position)


def _of_systems(name: str, documentation: str, values: dict[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"connectory_system_{name}", documentation, labels=["system", "kind"])
    for row, value in values.items():
        family.add_metric([row.name, row.kind], value)
    return family


def _health(systems: Iterable[Any]) -> Metric:
    family = GaugeMetricFamily(
        "connectory_system_health", "1 for the health that a system has.", labels=["system", "kind", "health"]
    )
    for row in systems:
        for health in SystemHealth:
            family.add_metric([row.name, row.kind, health.name], row.health is health)
    return family


def _counts(figures: Figures) -> Iterator[Metric]:
    names = {row.id: row.name for row in figures.systems}
    connectors = GaugeMetricFamily("connectory_connectors", "Connectors by health.", labels=["system", "health"])
    for id, name in names.items():
        for health in ConnectorHealth:
            connectors.add_metric([name, health.name], figures.connectors.get((id, health), 0))
    conditions = GaugeMetricFamily(
        "connectory_conditions", "Conditions that hold.", labels=["system", "code", "severity"]
    )
    for (id, code, severity), count in figures.conditions.items():
        if id in names:
            conditions.add_metric([names[id], code.name, severity.name], count)
    notices = GaugeMetricFamily("connectory_notices_open", "Notices that are not over.", labels=["severity"])
    for severity in ConditionSeverity:
        notices.add_metric([severity.name], figures.notices.get(severity, 0))
    yield from (connectors, conditions, notices)


def _deliveries(figures: Figures, receivers: Iterable[str]) -> Iterator[Metric]:
    pending = GaugeMetricFamily(
        "connectory_deliveries_pending", "Deliveries that no receiver has accepted yet.", labels=["receiver"]
    )
    oldest = GaugeMetricFamily(
        "connectory_deliveries_oldest_pending_timestamp_seconds",
        "When the oldest of them was made.",
        labels=["receiver"],
    )
    for receiver in sorted({*receivers, *figures.deliveries}):
        pending.add_metric([receiver], figures.deliveries.get(receiver, (0,))[0])
    for receiver, (_, since) in figures.deliveries.items():
        oldest.add_metric([receiver], since.timestamp())
    yield from (pending, oldest)
