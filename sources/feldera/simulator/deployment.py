"""A pipeline of the simulated Feldera, and the state of its run (feldera.md §7)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sources.feldera.simulator.endpoints import Endpoint

#: Runtime words under which the process tells its counters; while bootstrapping nothing is received.
SERVING = frozenset({"Running", "Paused", "Bootstrapping", "Replaying"})


@dataclass(eq=False)
class Pipeline:
    """A pipeline and its run. ``resources`` and ``runtime`` are the words that its combined status is made of."""

    id: UUID
    name: str
    created: datetime
    description: str = ""
    tags: tuple[str, ...] = ()
    endpoints: list[Endpoint] = field(default_factory=list)
    version: int = 1
    program_version: int = 1
    refresh_version: int = 1
    program_status: str = "Success"
    program_since: datetime | None = None
    storage: str = "InUse"
    has_storage: bool = True
    resources: str = "Stopped"
    resources_desired: str = "Stopped"
    runtime: str | None = None
    runtime_desired: str | None = None
    reason: str | None = None
    initial: str | None = None
    deployment: UUID | None = None
    error: dict[str, Any] | None = None
    since: dict[str, datetime] = field(default_factory=dict)
    incarnation: UUID | None = None
    started: datetime | None = None
    first_started: datetime | None = None
    #: computes its views first, whenever it starts
    bootstraps: bool = False
    #: a changed program waits for a human's yes
    needs_approval: bool = False
    #: seconds that compute takes to be made
    provisioning: float = 4
    #: what the manager answers instead of what the process says: the name of an error of ``checks.py``
    fault: str | None = None
    processed: int = 0
    steps: int = 0
    age: int = 0

    @property
    def status(self) -> str:
        return (self.runtime or "Unavailable") if self.resources == "Provisioned" else self.resources

    @property
    def desired(self) -> str:
        return "Stopped" if self.resources_desired == "Stopped" else (self.runtime_desired or self.initial or "Running")

    @property
    def inputs(self) -> list[Endpoint]:
        return sorted((e for e in self.endpoints if e.is_input), key=lambda e: e.name)

    @property
    def outputs(self) -> list[Endpoint]:
        return sorted((e for e in self.endpoints if not e.is_input), key=lambda e: e.name)

    @property
    def is_serving(self) -> bool:
        return self.resources == "Provisioned" and self.runtime in SERVING

    @property
    def is_complete(self) -> bool:
        return all(e.ended and not e.buffered for e in self.inputs if not e.ad_hoc)


def panic(message: str) -> dict[str, Any]:
    """What stands under deployment_error after a pipeline broke down."""
    return {"message": message, "error_code": "PipelineError", "details": {"reason": "oom"}}
