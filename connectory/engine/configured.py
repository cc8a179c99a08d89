"""A system as the configuration describes it, with every default filled in."""

from dataclasses import dataclass, field

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import SystemView
from connectory.engine.pace import Pace
from connectory.store.writes.registration import Registration
from sources.base import SourceKind, SystemSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredSystem:
    """One entry of ``[[systems]]``; all times are seconds."""

    kind: SourceKind
    settings: SystemSettings
    poll_interval: float
    live_interval: float
    stale_after: float
    max_backoff: float
    auth_probe_interval: float
    #: when a condition is raised
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def pace(self) -> Pace:
        return Pace(self.poll_interval, self.max_backoff, self.auth_probe_interval)

    @property
    def view(self) -> SystemView:
        return SystemView(
            one_job_at_a_time=self.kind.one_job_at_a_time,
            tells_workers=self.kind.tells_workers,
            poll_interval=self.poll_interval,
        )

    @property
    def registration(self) -> Registration:
        return Registration(
            name=self.name,
            kind=self.kind.name,
            capabilities=tuple(capability.name for capability in sorted(self.kind.capabilities, key=lambda c: c.value)),
            stale_after=self.stale_after,
        )
