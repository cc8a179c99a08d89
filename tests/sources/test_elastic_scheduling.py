"""How often a schedule starts a sync: Quartz cron, seconds first (elastic.md §5)."""

from typing import Any

from sources.elastic.mapping import connector_fact
from sources.elastic.scheduling import is_unscheduled, longest_distance
from tests.sources.cases import cases

HOUR, DAY = 3600.0, 86_400.0
#: Both enabled: a full sync once a day, an incremental one every hour.
BOTH = {
    "full": {"enabled": True, "interval": "0 0 1 * * ?"},
    "incremental": {"enabled": True, "interval": "0 0 * * * ?"},
}


@cases(
    ("cron", "seconds"),
    [
        ("0 0 0 * * ?", DAY),
        ("0 0 * * * ?", HOUR),
        ("0 0 0/6 * * ? *", 6 * HOUR),
        ("0 0/15 * * * ?", 900.0),
        ("0 */20 * * * ?", 1200.0),
        ("0 30 8-18 * * ?", 14 * HOUR),
        ("0 0 1,13 * * ?", 12 * HOUR),
        ("0 10,40 0,12 * * ?", 11.5 * HOUR),
        ("0 7/25 * * * ?", 1500.0),
        # not the same every day
        ("0 0 9 ? * MON-FRI", None),
        ("0 0 9 1 * ?", None),
        # not to be read
        ("0 0 25 * * ?", None),
        ("0 0 5-3 * * ?", None),
        ("0 0/0 * * * ?", None),
        ("0 0 L * * ?", None),
        ("0 0 0-99999999999 * * ?", None),
        ("0 0 ٣ * * ?", None),
        ("hourly", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_the_longest_pause(cron: Any, seconds: float | None) -> None:
    assert longest_distance({"full": {"enabled": True, "interval": cron}}) == seconds


@cases(
    ("scheduling", "seconds", "unscheduled"),
    [
        (None, None, False),
        ({}, None, False),
        ("odd", None, False),
        ({"full": "odd"}, None, False),
        ({"full": {"enabled": False, "interval": "0 0 0 * * ?"}}, None, True),
        # permissions are no content
        ({"full": {"enabled": False}, "access_control": {"enabled": True, "interval": "0 0 0 * * ?"}}, None, True),
        ({"full": {"enabled": False}, "incremental": {"enabled": True, "interval": "0 0 * * * ?"}}, HOUR, False),
        (BOTH, HOUR, False),
        ({"full": {"enabled": True}, "incremental": {"enabled": True, "interval": "0 0 * * * ?"}}, HOUR, False),
        ({"full": {}}, None, False),
    ],
)  # fmt: skip
def test_what_is_enabled(scheduling: Any, seconds: float | None, unscheduled: bool) -> None:
    assert (longest_distance(scheduling), is_unscheduled(scheduling)) == (seconds, unscheduled)
    fact = connector_fact({"id": "a", "status": "connected", "scheduling": scheduling})
    assert (fact.schedule_seconds, fact.is_unscheduled) == (seconds, unscheduled)


def test_the_workers_sign_of_life() -> None:
    fact = connector_fact({"id": "a", "status": "connected", "last_seen": "2026-08-20T10:00:00Z"})
    assert fact.worker_seen_at is not None
    assert fact.worker_seen_at.isoformat() == "2026-08-20T10:00:00+00:00"
    assert connector_fact({"id": "a", "status": "connected"}).worker_seen_at is None
