"""What becomes of notices: from what is amiss now and the notices that are open to what has to be written. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from connectory.model import SUCCEEDED, ConditionCode, DeliveryPhase, JobStatus, NoticeKind, SystemHealth
from connectory.notices.payload import payload
from connectory.notices.plan import Absence, Plan, owner_of
from connectory.notices.settings import HOLDS, ReceiverSettings
from connectory.notices.standing import Standing
from connectory.notices.troubles import Trouble, is_down, troubles
from connectory.store.reads.notice_state import Picture
from connectory.store.rows import Row
from connectory.store.tables.identity import NOTICE, external_id, global_id
from connectory.store.writes.notices import NOT_CONFIGURED

_NEW: Row = {
    "raised_at": None,
    "position": None,
    "mark": None,
    "recovered_at": None,
    "recovery_message": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
}


#: Answers of its system after which a condition that is absent is over. It may have been absent between the commit that
#: ended a job and the judgement that finds the same of its connector; a crash in between leaves that to the next poll.
_ANSWERS = 2
#: What began so shortly before its connector was first seen is news all the same: the connector is new.
_NEWS = timedelta(minutes=10)


class Planner:
    """One look at the owners of a picture. ``name`` gives the notices their names, no two of them the same."""

    def __init__(
        self,
        picture: Picture,
        standing: Standing,
        receivers: Sequence[ReceiverSettings],
        now: datetime,
        name: Callable[[], str],
    ) -> None:
        self._picture, self._standing, self._receivers = picture, standing, receivers
        self._now, self._name, self._plan = now, name, Plan()

    def plan(self) -> Plan:
        found = {trouble.key: trouble for trouble in troubles(self._picture, self._now)}
        open_ = {row["key"]: row for row in self._picture.notices}
        for key, row in open_.items():
            if key not in found:
                self._end(row)
        for key, trouble in found.items():
            self._follow(trouble, open_.get(key))
        return self._plan

    # ---- what goes on

    def _follow(self, trouble: Trouble, before: Row | None) -> None:
        row = self._begun(trouble) if before is None else self._gone_on(trouble, before)
        if row["raised_at"] is None:
            self._raise_when_due(trouble, row)
        if before is None:
            self._plan.new.append(row)
        elif row != before:
            self._plan.changed.append(row)
        if row["raised_at"] is not None:
            told = self._standing.told(row["id"])
            for receiver in self._receivers:
                if receiver.name not in told and self._concerns(receiver, trouble, row):
                    self._tell_when_due(receiver, row)

    def _begun(self, trouble: Trouble) -> Row:
        id = global_id(NOTICE, self._picture.systems[trouble.system_id].name, self._name())
        return {"id": id, **asdict(trouble), **_NEW, "seen_at": self._now}

    def _gone_on(self, trouble: Trouble, before: Row) -> Row:
        """Once raised, it changes by getting worse only."""
        worse = trouble.severity.value > before["severity"].value or (trouble.code and not before["code"])
        if before["raised_at"] is not None and not worse:
            return before
        since, job_id = min(before["since"], trouble.since), trouble.job_id or before["job_id"]
        return {**before, **asdict(trouble), "since": since, "job_id": job_id}

    def _raise_when_due(self, trouble: Trouble, row: Row) -> None:
        holds = [each.holds(trouble.kind) for each in self._receivers if self._concerns(each, trouble, row)]
        hold = min([HOLDS[trouble.kind], *holds])
        due = row["seen_at"] + timedelta(seconds=hold)
        if self._now < due:
            self._plan.await_moment(trouble.owner, due)
        # what had to hold for a while must still be so, as far as a fresh answer tells
        elif not self._is_known(trouble.system_id) or (hold and not self._is_fresh(trouble.system_id)):
            self._plan.await_answer(trouble.owner, self._picture.systems[trouble.system_id])
        else:
            place = self._picture.present.place
            row["raised_at"], row["position"], row["mark"] = self._now, place.position, place.mark

    def _tell_when_due(self, receiver: ReceiverSettings, row: Row) -> None:
        due = row["seen_at"] + timedelta(seconds=receiver.holds(row["kind"]))
        if self._now < due:
            self._plan.await_moment(owner_of(row), due)
        else:
            self._deliver(receiver.name, row, DeliveryPhase.RAISED)

    def _is_known(self, system_id: str) -> bool:
        """Whether it has been asked since it came, or came back, to the configuration."""
        return self._picture.systems[system_id].health is not SystemHealth.UNKNOWN

    def _is_fresh(self, system_id: str) -> bool:
        system = self._picture.systems[system_id]
        if system.observed_at is None:
            return False
        return bool(self._now <= system.observed_at + timedelta(seconds=min(system.stale_after, 1e9)))

    def _concerns(self, receiver: ReceiverSettings, trouble: Trouble, row: Row) -> bool:
        words = {trouble.kind.name, trouble.code.name if trouble.code else ""}
        return (
            (not receiver.conditions or not words.isdisjoint(receiver.conditions))
            and (not receiver.severities or trouble.severity.name in receiver.severities)
            and (not receiver.systems or self._picture.systems[trouble.system_id].name in receiver.systems)
            and (receiver.backlog or not self._is_backlog(row))
            and (not receiver.sources or not self._sources(trouble).isdisjoint(receiver.sources))
        )

    def _is_backlog(self, row: Row) -> bool:
        """Whether it was so well before its connector was first seen."""
        connector = self._picture.connectors.get(row["connector_id"])
        first = None if connector is None else connector.first_seen_at
        return first is not None and row["since"] < first - _NEWS

    def _sources(self, trouble: Trouble) -> set[str]:
        """Of its connector; of a system, those of all its connectors."""
        if trouble.connector_id is not None:
            return {self._picture.connectors[trouble.connector_id].source}
        return {source for system, source in self._picture.sources if system == trouble.system_id}

    # ---- what is over

    def _end(self, row: Row) -> None:
        if row["raised_at"] is None:
            self._plan.dropped.append(row)
            return
        said = self._recovery(row)
        if said is None:
            return
        over = {**row, "recovered_at": self._now, "recovery_message": said}
        self._plan.changed.append(over)
        configured = {receiver.name for receiver in self._receivers}
        for receiver in sorted(self._standing.told(row["id"])):
            # one who is away may come back, and has to know then
            self._deliver(receiver, over, DeliveryPhase.RECOVERED, is_dead=receiver not in configured)

    def _recovery(self, row: Row) -> str | None:
        """Why it is over, as a sentence; None: it is not, though nobody sees it just now."""
        picture = self._picture
        system = picture.systems.get(row["system_id"])
        if system is None or not system.configured:
            return "Its system has been taken out of the configuration."
        if row["kind"] is NoticeKind.SYSTEM_DOWN:
            lasted = max(0.0, (self._now - row["since"]).total_seconds())  # the clock may have been set back
            return f"{system.name} answers again, after {lasted:.0f} seconds."
        connector = picture.connectors.get(row["connector_id"])
        if connector is None or connector.removed_at:
            return "The connector has been removed."
        if row["kind"] is NoticeKind.JOB_FAILED:
            return _success(row, connector)
        return None if is_down(system) or self._lingers(row) else self._relief(row)

    def _lingers(self, row: Row) -> bool:
        """Whether a condition that is absent may come back with the judgement of what was just stored."""
        system = self._picture.systems[row["system_id"]]
        absence = self._standing.absent.get(row["id"], Absence(system.observed_at)).after(system.observed_at)
        if absence.answers >= _ANSWERS:
            return False
        self._plan.absent[row["id"]] = absence
        self._plan.await_answer(owner_of(row), system)
        return True

    def _relief(self, row: Row) -> str:
        job = self._picture.jobs.get(row["job_id"])
        # documents that failed are told of runs that have ended, too: their end is no relief
        is_relief = row["code"] is not ConditionCode.DOCUMENT_ERRORS
        ended = job if job is not None and job.status.ended and is_relief else None
        said = "It is so no longer." if ended is None else f"The job has ended: {ended.status}."
        others = {each.code.name for each in self._picture.conditions if each.connector_id == row["connector_id"]}
        return f"{said} Still holding: {', '.join(sorted(others))}." if others else said

    def _deliver(self, receiver: str, row: Mapping[str, Any], phase: DeliveryPhase, *, is_dead: bool = False) -> None:
        deliveries = self._plan.deliveries
        id = f"{external_id(row['id'])}.{receiver}.{phase.name.lower()}"
        deliveries.append(
            {
                "id": id,
                "notice_id": row["id"],
                "receiver": receiver,
                "phase": phase,
                "sequence": self._standing.sequence + len(deliveries) + 1,
                "payload": payload(id, phase, row, self._picture),
                "created_at": self._now,
                "attempts": 0,
                "next_attempt_at": self._now,
                "delivered_at": None,
                "dead_at": self._now if is_dead else None,
                "last_error": NOT_CONFIGURED if is_dead else None,
            }
        )


def _success(row: Row, connector: Any) -> str | None:
    if connector.last_finished_job_status in SUCCEEDED:
        return "Its last job succeeded." if row["job_id"] else "It is no longer in error."
    is_over = row["job_id"] is None and connector.last_finished_job_status is not JobStatus.FAILED
    return "It is no longer in error." if is_over else None
