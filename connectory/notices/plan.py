"""What a look comes to: what is to be written, and what the next look has to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectory.store.rows import Row


@dataclass(frozen=True, slots=True)
class Absence:
    """A notice's condition does not hold, as the answer of ``observed_at`` and so many before it tell."""

    observed_at: datetime | None
    answers: int = 0

    def after(self, observed_at: datetime | None) -> "Absence":
        return self if observed_at == self.observed_at else Absence(observed_at, self.answers + 1)


@dataclass(slots=True)
class Outlook:
    """When an owner is to be looked at again though the log does not tell of it."""

    moment: datetime | None = None
    #: a system and its answer that was seen: with the next one
    answer: tuple[str, datetime | None] | None = None

    def has_come(self, now: datetime, systems: Mapping[str, Any]) -> bool:
        if self.moment is not None and now >= self.moment:
            return True
        return self.answer is not None and systems[self.answer[0]].observed_at != self.answer[1]


@dataclass
class Plan:
    """Of some owners: of connectors, and of systems for their own sake."""

    new: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    dropped: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    #: by owner; of those that wait for something
    outlooks: dict[str, Outlook] = field(default_factory=dict)
    #: notice → what the next look has to know of it; who forgets it only ends the notice later
    absent: dict[str, Absence] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.new or self.changed or self.dropped or self.deliveries)

    def await_moment(self, owner: str, moment: datetime) -> None:
        outlook = self.outlooks.setdefault(owner, Outlook())
        outlook.moment = moment if outlook.moment is None else min(outlook.moment, moment)

    def await_answer(self, owner: str, system: Any) -> None:
        """``system``: its row."""
        self.outlooks.setdefault(owner, Outlook()).answer = (system.id, system.observed_at)


def owner_of(notice: Row) -> str:
    """Whose it is: global id of the connector, else of the system."""
    owner: str = notice["connector_id"] or notice["system_id"]
    return owner
