"""The keys of a ``[[systems]]`` entry of this kind."""

import re
from typing import Literal, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from sources.base import SystemSettings, Token


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
