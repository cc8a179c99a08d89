"""What was scripted and what was shown, side by side: the confusion table of the golden world."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: Kind of system, connector's external id (``*``: the system as a whole), and the condition: its code, or its code
#: with `` CRITICAL`` for what shows two severities.
Subject = tuple[str, str, str]
#: Clocks of the simulated systems are off by so much, and a counter's last movement lies so far back.
EARLY = timedelta(seconds=40)


@dataclass
class Moment:
    """A condition that the script makes hold, from ``begins``, when it does as it is documented, to ``ends``."""

    subject: Subject
    begins: datetime
    ends: datetime | None = None


@dataclass
class Shown:
    """A condition as the gateway showed it, told by the polls after which it was there and gone."""

    subject: Subject
    raised: datetime
    cleared: datetime | None = None


@dataclass
class Line:
    """One line of the table: how often, and the longest delays in seconds."""

    scripted: int = 0
    true: int = 0
    missed: int = 0
    late: int = 0
    false: int = 0
    raised_after: float = 0.0
    cleared_after: float = 0.0


@dataclass
class Book:
    """Both sides, written down while the world goes on."""

    #: longest distance of two polls
    interval: timedelta
    moments: list[Moment] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    #: answered polls of each system
    polls: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    #: of connectors, by system and external id
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    _open: dict[Subject, Shown] = field(default_factory=dict)

    def scripted(self, subject: Subject, begins: datetime) -> Moment:
        moment = Moment(subject, begins)
        self.moments.append(moment)
        return moment

    def saw(self, system: str, subjects: Iterable[Subject], now: datetime, *, answered: bool) -> None:
        """What the gateway shows of a system after a poll."""
        if answered:
            self.polls[system].append(now)
        present = set(subjects)
        for subject in present - self._open.keys():
            self._open[subject] = Shown(subject, now)
            self.shown.append(self._open[subject])
        for subject in [subject for subject in self._open if subject[0] == system and subject not in present]:
            self._open.pop(subject).cleared = now

    # ---- judging

    def judged(self, end: datetime) -> tuple[Mapping[str, Line], list[str]]:
        """The table by condition, and a sentence for everything that is not as scripted."""
        table: defaultdict[str, Line] = defaultdict(Line)
        mistakes: list[str] = []
        left = list(self.shown)
        for moment in self.moments:
            if moment.begins + 2 * self.interval > end or (moment.ends and moment.ends <= moment.begins):
                left = [shown for shown in left if not self._belongs(shown, moment)]
                continue
            line = table[moment.subject[2]]
            line.scripted += 1
            found = [shown for shown in left if self._belongs(shown, moment)]
            if found:
                left.remove(found[0])
            what = self._verdict(moment, found[0] if found else None, line, end)
            setattr(line, what, getattr(line, what) + 1)
            if what != "true":
                mistakes.append(
                    f"{what}: {self._sentence(moment)}; shown: {self._sentence(found[0]) if found else 'never'}"
                )
        for shown in left:
            table[shown.subject[2]].false += 1
            mistakes.append(f"false: {self._sentence(shown)}")
        return table, mistakes

    def _belongs(self, shown: Shown, moment: Moment) -> bool:
        if shown.subject != moment.subject or shown.raised < moment.begins - EARLY:
            return False
        return moment.ends is None or shown.raised <= moment.ends + self.interval

    def _verdict(self, moment: Moment, shown: Shown | None, line: Line, end: datetime) -> str:
        if shown is None:
            return "missed"
        line.raised_after = max(line.raised_after, (shown.raised - moment.begins).total_seconds())
        late = self._late(moment.subject[0], moment.begins, shown.raised)
        if moment.ends is None or moment.ends + 2 * self.interval > end:
            dropped = shown.cleared is not None and (moment.ends is None or shown.cleared < moment.ends - EARLY)
            return "missed" if dropped else "late" if late else "true"
        if shown.cleared is None:
            return "late"
        if shown.cleared < moment.ends - EARLY:
            return "missed"  # it holds and is not shown any more
        line.cleared_after = max(line.cleared_after, (shown.cleared - moment.ends).total_seconds())
        return "late" if late or self._late(moment.subject[0], moment.ends, shown.cleared) else "true"

    def _late(self, system: str, due: datetime, seen: datetime) -> bool:
        """Whether it took longer than two polls, which are two intervals unless polls in between had no answer."""
        between = sum(due <= poll < seen for poll in self.polls[system])
        return seen - due > 2 * self.interval and between > 1

    def _sentence(self, what: Moment | Shown) -> str:
        begun, over = (what.begins, what.ends) if isinstance(what, Moment) else (what.raised, what.cleared)
        system, connector, condition = what.subject
        name = self.names.get((system, connector), connector)
        until = f"{over:%d %H:%M:%S}" if over else "the end"
        return f"{condition} of {system}'s {name!r}, {begun:%d %H:%M:%S} to {until}"


def lines(table: Mapping[str, Line], codes: Sequence[str]) -> list[str]:
    """The table for people; ``codes`` stand in it even where nothing is to be said of them."""
    head = f"{'condition':<28}{'scripted':>9}{'true':>6}{'missed':>8}{'late':>6}{'false':>7}{'raised':>9}{'cleared':>9}"
    found = [head]
    for name in sorted({*table, *codes}):
        line = table.get(name, Line())
        counts = f"{line.scripted:>9}{line.true:>6}{line.missed:>8}{line.late:>6}{line.false:>7}"
        found.append(f"{name:<28}{counts}{line.raised_after:>7.0f} s{line.cleared_after:>7.0f} s")
    return found
