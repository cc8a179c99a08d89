"""Feldera: input and output endpoints of SQL pipelines (feldera.md)."""

from connectory.model import Capability
from sources.base import SourceKind, deferred
from sources.feldera.settings import FelderaSettings

SOURCE = SourceKind(
    "feldera",
    settings=FelderaSettings,
    open=deferred("sources.feldera.source:FelderaSource"),
    capabilities=frozenset({Capability.JOB_PROGRESS, Capability.DOCUMENT_ERRORS}),
    rolls_up=frozenset({"last_job_status", "last_finished_job_status", "in_progress"}),
    simulator=deferred("sources.feldera.simulator.app:simulator"),
    simulator_settings=deferred("sources.feldera.simulator.app:settings"),
)
