"""Elastic Connectors: the connector and sync job API of Elasticsearch 8.12 and newer (elastic.md)."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, SystemSettings, Token, belong_together, deferred


class ElasticSettings(SystemSettings):
    """Exactly one of ``api_key``, ``username`` with ``password``, or ``token`` (elastic.md §1)."""

    api_key: Token | None = Field(None, description="the encoded API key, as shown when it was created")
    username: str | None = Field(None, min_length=1, description="with password; not on serverless")
    password: SecretStr | None = Field(None, min_length=1, description="with username")
    token: Token | None = Field(None, description="an OAuth2 or service-account token; an API key is not one")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        belong_together(self.username, self.password)
        given = [
            name
            for name, value in (
                ("api_key", self.api_key),
                ("username and password", self.username),
                ("token", self.token),
            )
            if value is not None
        ]
        if len(given) != 1:
            found = f"found {' beside '.join(given)}" if given else "found none"
            raise ValueError(f"give exactly one of api_key, username and password, or token; {found}")
        return self


SOURCE = SourceKind(
    "elastic",
    settings=ElasticSettings,
    open=deferred("sources.elastic.source:ElasticSource"),
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS, Capability.JOB_HEARTBEAT}),
    rolls_up=ROLLED_UP - {"last_sync_at"},
    # one content sync at a time per connector, oldest first (elastic.md §6)
    one_job_at_a_time="connector",
    tells_workers=True,
    simulator=deferred("sources.elastic.simulator.app:simulator"),
    simulator_settings=deferred("sources.elastic.simulator.app:settings"),
)
