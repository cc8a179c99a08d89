"""Lucidworks: the data sources and crawls of LucidWorks Search 2.x, and of Fusion by its job API (lucidworks.md)."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, SystemSettings, belong_together, deferred


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


SOURCE = SourceKind(
    "lucidworks",
    settings=LucidworksSettings,
    open=deferred("sources.lucidworks.source:LucidworksSource"),
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS}),
    # a data source tells nothing but its settings: all of this stands in its crawls
    rolls_up=ROLLED_UP,
    simulator=deferred("sources.lucidworks.simulator.app:simulator"),
    simulator_settings=deferred("sources.lucidworks.simulator.app:settings"),
)
