"""How much is asked of the gateway, as Prometheus reads it."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from connectory.limits import REFUSING


class Load(Collector):
    """What is under way, and what was refused by a limit; read when it is asked for."""

    def __init__(self) -> None:
        #: operations that are executed, and those that wait for it
        self.operations: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._refused = Counter(dict.fromkeys(REFUSING, 0))

    def refuse(self, setting: str | None) -> None:
        """Count who is refused by the limit of that setting."""
        if setting is not None:
            self._refused[setting] += 1

    def collect(self) -> Iterable[Metric]:
        running, waiting = self.operations()
        yield GaugeMetricFamily("connectory_graphql_running", "Operations that are executed now.", running)
        yield GaugeMetricFamily("connectory_graphql_waiting", "Operations that wait for that.", waiting)
        refused = CounterMetricFamily(
            "connectory_graphql_refused", "Operations refused by a limit, before they began.", labels=["setting"]
        )
        for setting, count in self._refused.items():
            refused.add_metric([setting], count)
        yield refused
