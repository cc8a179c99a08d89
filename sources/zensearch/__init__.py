"""ZenSearch: connectors and their sync jobs (zensearch.md)."""

import re
from typing import Literal, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, SystemSettings, Token, deferred


class ZenSearchSettings(SystemSettings):
    """``url`` is what comes before ``/v1`` or ``/api/v1``; ``dialect`` says which of them follows, and how the token is
    sent, because the upstream's own pages disagree (zensearch.md §1)."""

    token: Token = Field(description="API key, secret key, or the JWT of a session")
    dialect: Literal["v1-bearer", "api-v1-bearer", "api-v1-key"] = Field(
        "v1-bearer", description="v1-bearer, api-v1-bearer or api-v1-key: path and header of the deployment"
    )
    sign_requests: bool = Field(False, description="sign with the secret key that is the token; api-v1-key only")

    @field_validator("url")
    @classmethod
    def _without_version(cls, url: HttpUrl) -> HttpUrl:
        if re.search(r"/v1/?$", url.path or ""):
            raise ValueError("leave out /v1 and /api/v1; dialect says which of them is added")
        return url

    @model_validator(mode="after")
    def _signed_with_a_secret_key(self) -> Self:
        publishable = self.token.get_secret_value().startswith("zsk_pk_")
        if self.sign_requests and (self.dialect != "api-v1-key" or publishable):
            raise ValueError("sign_requests goes with dialect api-v1-key and a secret key (zsk_sk_...) only")
        return self


SOURCE = SourceKind(
    "zensearch",
    settings=ZenSearchSettings,
    open=deferred("sources.zensearch.source:ZenSearchSource"),
    capabilities=frozenset({Capability.JOB_PROGRESS}),
    rolls_up=ROLLED_UP - {"docs_indexed", "last_sync_at"},
    simulator=deferred("sources.zensearch.simulator.app:simulator"),
    simulator_settings=deferred("sources.zensearch.simulator.app:settings"),
)
