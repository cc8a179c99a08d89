"""Endpoints that keep their pipeline from a checkpoint."""

from dataclasses import replace

from connectory.engine.judging.thresholds import Thresholds
from tests.engine.judging.views import ZENSEARCH, codes, connector, found, only, since
from tests.facts import at


def test_a_barrier_that_holds_too_long() -> None:
    blocking = connector(blocks_checkpoint_since=0)
    assert codes(connector(), 9999) == set()
    assert codes(blocking, 599) == set()
    assert codes(blocking, -60) == set()
    finding = only(blocking, 600)
    assert (finding.code.name, since(finding)) == ("BLOCKS_CHECKPOINT", 0)
    assert finding.message == "It has kept its pipeline from a checkpoint since 2026-08-20 10:00 UTC."
    # seen anew after a restart, it has not let go
    assert only(connector(blocks_checkpoint_since=900), 901, before=[finding]) == finding
    assert found(connector(), 901, before=[finding]) == []
    # a longer limit ends it, and is told once it is gone beyond
    patient = Thresholds(checkpoint=1000)
    assert codes(blocking, 999, before=[finding], limits=patient) == set()
    assert only(blocking, 1000, before=[finding], limits=patient).evidence["thresholdSeconds"] == 1000
    # how long it was held back in an outage nobody saw
    after = replace(ZENSEARCH, answers_since=at(500))
    assert (codes(blocking, 1099, system=after), codes(blocking, 1100, system=after)) == (set(), {"BLOCKS_CHECKPOINT"})
