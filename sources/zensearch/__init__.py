"""ZenSearch: connectors and their sync jobs (zensearch.md)."""

import re
from typing import Literal, Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator

from connectory.model import Capability
from sources.base import SourceKind, SystemSettings
from sources.zensearch.client import ZenSearchSource
from sources.zensearch.simulator import TOKEN, simulator


class ZenSearchSettings(SystemSettings):
    """``url`` is what comes before ``/v1`` or ``/api/v1``; ``dialect`` says which of them follows, and how the token is
    sent, because the upstream's own pages disagree (zensearch.md §1)."""

    token: SecretStr = Field(min_length=1, description="API key, secret key, or the JWT of a session")
    dialect: Literal["v1-bearer", "api-v1-bearer", "api-v1-key"] = Field(
        "v1-bearer", description="v1-bearer, api-v1-bearer or api-v1-key: path and header of the deployment"
    )
    sign_requests: bool = Field(False, description="sign with the secret key that is the token; api-v1-key only")

    @field_validator("token")
    @classmethod
    def _fit_for_a_header(cls, token: SecretStr) -> SecretStr:
        bare = re.sub(r"^Bearer(\s+|$)", "", token.get_secret_value().strip())
        if not bare or not bare.isascii() or not bare.isprintable():
            raise ValueError("a token is printable ASCII text")
        return SecretStr(bare)

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
    open=ZenSearchSource,
    capabilities=frozenset({Capability.JOB_PROGRESS}),
    rolls_up=frozenset(
        {
            "latest_job_docs_indexed",
            "last_job_status",
            "last_finished_job_status",
            "in_progress",
            "last_success_at",
        }
    ),
    simulator=simulator,
    simulator_settings=lambda url: {"url": url, "token": TOKEN},
)
