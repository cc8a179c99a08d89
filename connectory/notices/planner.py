"""What becomes of notices: from what is amiss now and the notices that are open to what has to be written. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from connectory.model import SUCCEEDED, ConditionCode, DeliveryPhase, JobStatus, NoticeKind, SystemHealth
from connectory.notices.open_notices import OpenNotices
from connectory.notices.payload import payload
from connectory.notices.plan import ConditionGone, Delivery, Plan
from connectory.notices.settings import HOLDS, ReceiverSettings
from connectory.notices.troubles import Trouble, is_down, troubles
from connectory.store.reads.notice_state import ConnectorState, Notice, NoticeState
from connectory.store.tables.identity import NOTICE, external_id, global_id
from connectory.store.writes.notices import NOT_CONFIGURED

#: Answers of its system after which a condition that is absent is over. It may have been absent between the commit that
#: ended a job and the judgement that finds the same of its connector; a crash in between leaves that to the next poll.
_ANSWERS = 2
#: What began so shortly before its connector was first seen is news all the same: the connector is new.
_NEWS = timedelta(minutes=10)


class Planner:
    """One look at the owners of a state. ``name`` gives the notices their names, no two of them the same."""

    def __init__(
        self,
        state: NoticeState,
        open_notices: OpenNotices,
        receivers: Sequence[ReceiverSettings],
        now: datetime,
        name: Callable[[], str],
    ) -> None:
        self._state, self._open_notices, self._receivers = state, open_notices, receivers
        self._now, self._name, self._plan = now, name, Plan()

    def plan(self) -> Plan:
        """What is to be written of the owners, and what the next look has to know. To be called once."""
        found = {trouble.key: trouble for trouble in troubles(self._state, self._now)}
        open_ = {notice.key: notice for notice in self._state.notices}
        for key, notice in open_.items():
            if key not in found:
                self._end(notice)
        for key, trouble in found.items():
            self._follow(trouble, open_.get(key))
        return self._plan

    # ---- what goes on

    def _follow(self, trouble: Trouble, before: Notice | None) -> None:
        notice = self._begun(trouble) if before is None else self._gone_on(trouble, before)
        if notice.raised_at is None:
            self._raise_when_due(trouble, notice)
        if before is None:
            self._plan.new.append(notice)
        elif notice != before:
            self._plan.changed.append(notice)
        if notice.raised_at is not None:
            notified = self._open_notices.notified(notice.id)
            for receiver in self._receivers:
                if receiver.name not in notified and self._concerns(receiver, trouble, notice):
                    self._notify_when_due(receiver, notice)

    def _begun(self, trouble: Trouble) -> Notice:
        id = global_id(NOTICE, self._state.systems[trouble.system_id].name, self._name())
        return Notice(id=id, **asdict(trouble), seen_at=self._now)

    def _gone_on(self, trouble: Trouble, before: Notice) -> Notice:
        """Once raised, it changes by getting worse only."""
        worse = trouble.severity.value > before.severity.value or (trouble.code and not before.code)
        if before.raised_at is not None and not worse:
            return before
        since, job_id = min(before.since, trouble.since), trouble.job_id or before.job_id
        return replace(before, **{**asdict(trouble), "since": since, "job_id": job_id})

    def _raise_when_due(self, trouble: Trouble, notice: Notice) -> None:
        holds = [each.holds(trouble.kind) for each in self._receivers if self._concerns(each, trouble, notice)]
        hold = min([HOLDS[trouble.kind], *holds])
        due = notice.seen_at + timedelta(seconds=hold)
        if self._now < due:
            self._plan.await_moment(trouble.owner, due)
        # what had to hold for a while must still be so, as far as a fresh answer tells
        elif not self._is_known(trouble.system_id) or (hold and not self._is_fresh(trouble.system_id)):
            self._plan.await_answer(trouble.owner, self._state.systems[trouble.system_id])
        else:
            place = self._state.current.place
            notice.raised_at, notice.position, notice.mark = self._now, place.position, place.mark

    def _notify_when_due(self, receiver: ReceiverSettings, notice: Notice) -> None:
        due = notice.seen_at + timedelta(seconds=receiver.holds(notice.kind))
        if self._now < due:
            self._plan.await_moment(notice.owner, due)
        else:
            self._deliver(receiver.name, notice, DeliveryPhase.RAISED)

    def _is_known(self, system_id: str) -> bool:
        """Whether it has been asked since it came, or came back, to the configuration."""
        return self._state.systems[system_id].health is not SystemHealth.UNKNOWN

    def _is_fresh(self, system_id: str) -> bool:
        system = self._state.systems[system_id]
        if system.observed_at is None:
            return False
        return bool(self._now <= system.observed_at + timedelta(seconds=min(system.stale_after, 1e9)))

    def _concerns(self, receiver: ReceiverSettings, trouble: Trouble, notice: Notice) -> bool:
        words = {trouble.kind.name, trouble.code.name if trouble.code else ""}
        return (
            (not receiver.conditions or not words.isdisjoint(receiver.conditions))
            and (not receiver.severities or trouble.severity.name in receiver.severities)
            and (not receiver.systems or self._state.systems[trouble.system_id].name in receiver.systems)
            and (receiver.backlog or not self._is_backlog(notice))
            and (not receiver.sources or not self._sources(trouble).isdisjoint(receiver.sources))
        )

    def _is_backlog(self, notice: Notice) -> bool:
        """Whether it was so well before its connector was first seen."""
        connector = self._state.connector_of(notice)
        first = None if connector is None else connector.first_seen_at
        return first is not None and notice.since < first - _NEWS

    def _sources(self, trouble: Trouble) -> set[str]:
        """Of its connector; of a system, those of all its connectors."""
        if trouble.connector_id is not None:
            return {self._state.connectors[trouble.connector_id].source}
        return {source for system, source in self._state.sources if system == trouble.system_id}

    # ---- what is over

    def _end(self, notice: Notice) -> None:
        if notice.raised_at is None:
            self._plan.dropped.append(notice)
            return
        message = self._recovery(notice)
        if message is None:
            return
        over = replace(notice, recovered_at=self._now, recovery_message=message)
        self._plan.changed.append(over)
        configured = {receiver.name for receiver in self._receivers}
        for receiver in sorted(self._open_notices.notified(notice.id)):
            # one who is away may come back, and has to know then
            self._deliver(receiver, over, DeliveryPhase.RECOVERED, is_dead=receiver not in configured)

    def _recovery(self, notice: Notice) -> str | None:
        """Why it is over, as a sentence; None: it is not, though nobody sees it just now."""
        state = self._state
        system = state.systems.get(notice.system_id)
        if system is None or not system.configured:
            return "Its system has been taken out of the configuration."
        if notice.kind is NoticeKind.SYSTEM_DOWN:
            lasted = max(0.0, (self._now - notice.since).total_seconds())  # the clock may have been set back
            return f"{system.name} answers again, after {lasted:.0f} seconds."
        connector = state.connector_of(notice)
        if connector is None or connector.removed_at:
            return "The connector has been removed."
        if notice.kind is NoticeKind.JOB_FAILED:
            return _success(notice, connector)
        return None if is_down(system) or self._lingers(notice) else self._relief(notice)

    def _lingers(self, notice: Notice) -> bool:
        """Whether a condition that is absent may come back with the judgement of what was just stored."""
        system = self._state.systems[notice.system_id]
        gone = self._open_notices.absent.get(notice.id, ConditionGone(system.observed_at)).after(system.observed_at)
        if gone.answers >= _ANSWERS:
            return False
        self._plan.absent[notice.id] = gone
        self._plan.await_answer(notice.owner, system)
        return True

    def _relief(self, notice: Notice) -> str:
        job = self._state.job_of(notice)
        # documents that failed are told of runs that have ended, too: their end is no relief
        is_relief = notice.code is not ConditionCode.DOCUMENT_ERRORS
        ended = job if job is not None and job.status.ended and is_relief else None
        message = "It is so no longer." if ended is None else f"The job has ended: {ended.status}."
        others = {each.code.name for each in self._state.conditions if each.connector_id == notice.connector_id}
        return f"{message} Still holding: {', '.join(sorted(others))}." if others else message

    def _deliver(self, receiver: str, notice: Notice, phase: DeliveryPhase, *, is_dead: bool = False) -> None:
        deliveries = self._plan.deliveries
        id = f"{external_id(notice.id)}.{receiver}.{phase.name.lower()}"
        deliveries.append(
            Delivery(
                id=id,
                notice_id=notice.id,
                receiver=receiver,
                phase=phase,
                sequence=self._open_notices.sequence + len(deliveries) + 1,
                payload=payload(id, phase, notice, self._state),
                created_at=self._now,
                next_attempt_at=self._now,
                dead_at=self._now if is_dead else None,
                last_error=NOT_CONFIGURED if is_dead else None,
            )
        )


def _success(notice: Notice, connector: ConnectorState) -> str | None:
    if connector.last_finished_job_status in SUCCEEDED:
        return "Its last job succeeded." if notice.job_id else "It is no longer in error."
    is_over = notice.job_id is None and connector.last_finished_job_status is not JobStatus.FAILED
    return "It is no longer in error." if is_over else None
