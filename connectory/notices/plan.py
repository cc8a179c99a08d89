"""What a look comes to: what is to be written, and what the next look has to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectory.model import DeliveryPhase
from connectory.store.reads.notice_state import Notice, SystemState


@dataclass(frozen=True, slots=True)
class ConditionGone:
    """A notice's condition does not hold, as the answer of ``observed_at`` and so many before it tell."""

    observed_at: datetime | None
    answers: int = 0

    def after(self, observed_at: datetime | None) -> "ConditionGone":
        """The same after an answer of that moment; one that was seen already does not count again."""
        return self if observed_at == self.observed_at else ConditionGone(observed_at, self.answers + 1)


@dataclass(slots=True)
class NextLook:
    """When an owner is to be looked at again though the log does not tell of it."""

    moment: datetime | None = None
    #: a system and its answer that was seen: with the next one
    answer: tuple[str, datetime | None] | None = None

    def is_due(self, now: datetime, systems: Mapping[str, SystemState]) -> bool:
        """Whether what it waits for has come; ``systems`` are by id."""
        if self.moment is not None and now >= self.moment:
            return True
        return self.answer is not None and systems[self.answer[0]].observed_at != self.answer[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one receiver: its row, see DeliveryRow."""

    id: str
    notice_id: str
    receiver: str
    phase: DeliveryPhase
    sequence: int
    payload: str
    created_at: datetime
    attempts: int = 0
    next_attempt_at: datetime
    delivered_at: datetime | None = None
    dead_at: datetime | None
    last_error: str | None


@dataclass
class Plan:
    """Of some owners: of connectors, and of systems for their own sake."""

    new: list[Notice] = field(default_factory=list)
    changed: list[Notice] = field(default_factory=list)
    dropped: list[Notice] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    #: by owner; of those that wait for something
    next_looks: dict[str, NextLook] = field(default_factory=dict)
    #: notice → what the next look has to know of it; who forgets it only ends the notice later
    absent: dict[str, ConditionGone] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.new or self.changed or self.dropped or self.deliveries)

    def await_moment(self, owner: str, moment: datetime) -> None:
        """Look at the owner again at that moment, or at an earlier one that it waits for already."""
        next_look = self.next_looks.setdefault(owner, NextLook())
        next_look.moment = moment if next_look.moment is None else min(next_look.moment, moment)

    def await_answer(self, owner: str, system: SystemState) -> None:
        """``system``: its row."""
        self.next_looks.setdefault(owner, NextLook()).answer = (system.id, system.observed_at)
