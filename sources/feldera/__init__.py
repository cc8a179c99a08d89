"""Feldera: input and output endpoints of SQL pipelines (feldera.md)."""

from typing import Any

from pydantic import ConfigDict, Field, SecretStr, field_validator

from connectory.model import Capability
from sources.base import SourceKind, SystemSettings
from sources.feldera.client import FelderaSource
from sources.feldera.simulator import TOKEN, simulator


class FelderaSettings(SystemSettings):
    """``url`` without ``/v0``. A Feldera of one's own asks for no token by default (feldera.md §1)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    token: SecretStr | None = Field(
        None, description="API key, with its prefix 'apikey:', or a JWT; without one no credentials are sent"
    )
    pipelines: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of the pipelines to look at; default: all that there are"
    )

    @field_validator("token")
    @classmethod
    def _fit_for_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None:
            return None
        bare = token.get_secret_value().strip().removeprefix("Bearer").strip()
        if not bare or not bare.isascii() or not bare.isprintable():
            raise ValueError("a token is printable ASCII text")
        return SecretStr(bare)


def _simulator_settings(url: str) -> dict[str, Any]:
    return {"url": url, "token": TOKEN}


SOURCE = SourceKind(
    "feldera",
    settings=FelderaSettings,
    open=FelderaSource,
    capabilities=frozenset({Capability.JOB_PROGRESS, Capability.DOCUMENT_ERRORS}),
    rolls_up=frozenset({"last_job_status", "last_finished_job_status", "in_progress"}),
    simulator=simulator,
    simulator_settings=_simulator_settings,
)
