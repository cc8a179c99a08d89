"""The keys of a ``[[systems]]`` entry of this kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from sources.base import SystemSettings, belong_together


class LucidworksSettings(SystemSettings):
    """``url`` up to ``/api``, with or without it. The API itself asks for no credentials; a proxy in front may."""

    username: str | None = Field(
        None, min_length=1, pattern=r"^[^:]+$", description="with password; a proxy's, or Fusion's"
    )
    password: SecretStr | None = Field(None, min_length=1, description="with username")
    collections: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="the collections to look at; default: all"
    )
    dialect: Literal["search", "fusion"] = Field(
        "search", description="search for LucidWorks Search 2.x, fusion for Fusion's job API"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        belong_together(self.username, self.password)
        return self
