"""What a source answers: what a poll, the history or a closer look saw, and how an action says no."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from connectory.model.enums import ActionFailureCode, SystemErrorCode
from connectory.model.facts import ConnectorFact, JobErrorFact, JobFact

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept an answer from being complete."""

    code: SystemErrorCode
    message: str
    #: seconds that the system asked us to wait
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one poll of a system saw.

    A connector absent from a ``complete`` answer counts as missed; absence from any other answer says nothing.
    """

    connectors: Sequence[ConnectorFact]
    jobs: Sequence[JobFact] = ()
    complete: bool = True
    #: connectors whose jobs could not be read this time: they count as changed until they can
    owed: frozenset[str] = frozenset()
    #: open jobs that the upstream no longer serves
    gone_jobs: frozenset[str] = frozenset()
    #: jobs known to be open whose run ended without a word: there is no fact of how far it came
    canceled_jobs: frozenset[str] = frozenset()
    problems: Sequence[Problem] = ()

    @cached_property
    def by_id(self) -> Mapping[str, ConnectorFact]:
        """The connectors by external id; of several with the same one the last."""
        return {fact.external_id: fact for fact in self.connectors}


@dataclass(frozen=True, kw_only=True)
class HistoryBatch:
    """A stretch of past jobs; ``finished`` names the connectors whose history is now read in full."""

    jobs: Sequence[JobFact]
    finished: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class JobFindings:
    """What a closer look at a job found beyond its JobFact."""

    #: all documents that the upstream names as failed; None when it could not be asked
    errors: tuple[JobErrorFact, ...] | None = None
    #: fields of the job's details type to be set
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActionRefusal:
    """The one shape in which an action says no."""

    code: ActionFailureCode
    message: str
    #: the upstream's HTTP status, where it gave one
    upstream_status: int | None = None
    retry_after_seconds: float | None = None
