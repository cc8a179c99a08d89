"""The keys of a ``[[systems]]`` entry of this kind."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from sources.base import SystemSettings, Token, belong_together


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
