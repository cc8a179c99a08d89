"""Feldera: input and output endpoints of SQL pipelines (feldera.md)."""

from pydantic import Field

from connectory.model import Capability
from sources.base import SourceKind, SystemSettings, Token, deferred


class FelderaSettings(SystemSettings):
    """``url`` without ``/v0``. A Feldera of one's own asks for no token by default (feldera.md §1)."""

    token: Token | None = Field(
        None, description="API key, with its prefix 'apikey:', or a JWT; without one no credentials are sent"
    )
    pipelines: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of the pipelines to look at; default: all that there are"
    )


SOURCE = SourceKind(
    "feldera",
    settings=FelderaSettings,
    open=deferred("sources.feldera.source:FelderaSource"),
    capabilities=frozenset({Capability.JOB_PROGRESS, Capability.DOCUMENT_ERRORS}),
    rolls_up=frozenset({"last_job_status", "last_finished_job_status", "in_progress"}),
    simulator=deferred("sources.feldera.simulator.app:simulator"),
    simulator_settings=deferred("sources.feldera.simulator.app:settings"),
)
