"""The keys of a ``[[systems]]`` entry of this kind."""

from pydantic import Field

from sources.base import SystemSettings, Token


class FelderaSettings(SystemSettings):
    """``url`` without ``/v0``. A Feldera of one's own asks for no token by default (feldera.md §1)."""

    token: Token | None = Field(
        None, description="API key, with its prefix 'apikey:', or a JWT; without one no credentials are sent"
    )
    pipelines: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of the pipelines to look at; default: all that there are"
    )
