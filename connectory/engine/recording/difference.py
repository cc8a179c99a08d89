"""What a judgement changes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectory.engine.judging.views import Finding
from connectory.engine.memory.held import HeldConditions, key_of
from connectory.store.rows import Row

#: What the log does not have is written this often at most, though it moves with every poll.
_REFRESH = timedelta(seconds=60)


def is_due(written: datetime | None, now: datetime) -> bool:
    return written is None or now - written >= _REFRESH


@dataclass
class ConditionDifference:
    raised: list[Finding] = field(default_factory=list)
    cleared: list[Finding] = field(default_factory=list)
    #: the same with another severity, beginning or message
    changed: list[Finding] = field(default_factory=list)
    #: the same with other evidence, which the log does not have
    refreshed: list[Finding] = field(default_factory=list)
    #: job → its estimates
    estimates: dict[str, Row] = field(default_factory=dict)

    @property
    def written(self) -> list[Finding]:
        return [*self.raised, *self.changed, *self.refreshed]

    @property
    def noticed(self) -> list[Finding]:
        """Those that the log tells of."""
        return [*self.raised, *self.cleared, *self.changed]

    def __bool__(self) -> bool:
        return bool(self.written or self.cleared or self.estimates)

    def compare(self, connector_id: str, found: Iterable[Finding], held: HeldConditions, now: datetime) -> None:
        """What was found of a connector and its open jobs, with what holds of them."""
        before = {key_of(finding): finding for finding in held.of(connector_id)}
        for finding in found:
            self._sort(finding, before.pop(key_of(finding), None), held, now)
        self.cleared += before.values()

    def _sort(self, finding: Finding, before: Finding | None, held: HeldConditions, now: datetime) -> None:
        if before is None:
            self.raised.append(finding)
        elif _shown(finding) != _shown(before):
            self.changed.append(finding)
        elif finding != before and is_due(held.written_at(key_of(finding)), now):
            self.refreshed.append(finding)


def _shown(finding: Finding) -> tuple[object, ...]:
    """What people see of it: never out of date."""
    return finding.severity, finding.since, finding.message
