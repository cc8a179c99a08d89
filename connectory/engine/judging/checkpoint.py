"""Endpoints that keep their pipeline from a checkpoint (feldera.md §4: barrier)."""

from collections.abc import Iterator

from connectory.engine.judging.case import Case
from connectory.engine.judging.views import Finding
from connectory.engine.judging.wording import iso, spoken
from connectory.model import ConditionCode, ConditionSeverity


def checkpoint(case: Case) -> Iterator[Finding]:
    """BLOCKS_CHECKPOINT: holds it back for longer than a snapshot of its source usually takes; ends when it lets go."""
    began = case.connector.blocks_checkpoint_since
    if began is None:
        return
    held, limit = case.held(ConditionCode.BLOCKS_CHECKPOINT), case.thresholds.checkpoint
    since = began if held is None else held.since
    if not case.holds_on(held, since, limit) and case.seen_for(began) < limit:
        return
    yield case.finding(
        ConditionCode.BLOCKS_CHECKPOINT,
        ConditionSeverity.WARNING,
        since,
        f"It has kept its pipeline from a checkpoint since {spoken(since)}.",
        {"blockedSince": iso(since), "thresholdSeconds": limit},
    )
