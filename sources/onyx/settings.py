"""The keys of a ``[[systems]]`` entry of this kind."""

from pydantic import Field

from sources.base import SystemSettings, Token


class OnyxSettings(SystemSettings):
    """``url`` ends in ``/api`` where the deployment has it (onyx.md §1)."""

    token: Token = Field(description="API key or unrestricted personal access token")
    secondary_index: bool = Field(False, description="look at the index that is being built")
