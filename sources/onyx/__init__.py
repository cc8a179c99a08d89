"""Onyx: cc-pairs, federated connectors and index attempts (onyx.md)."""

import re

from pydantic import ConfigDict, Field, SecretStr, field_validator

from connectory.model import Capability
from sources.base import SourceKind, SystemSettings
from sources.onyx.client import OnyxSource
from sources.onyx.simulator import TOKEN, simulator


class OnyxSettings(SystemSettings):
    """``url`` ends in ``/api`` where the deployment has it (onyx.md §1)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    token: SecretStr = Field(min_length=1, description="API key or unrestricted personal access token")
    secondary_index: bool = Field(False, description="look at the index that is being built")

    @field_validator("token")
    @classmethod
    def _fit_for_a_header(cls, token: SecretStr) -> SecretStr:
        bare = re.sub(r"^Bearer(\s+|$)", "", token.get_secret_value().strip())
        if not bare or not bare.isascii() or not bare.isprintable():
            raise ValueError("a token is printable ASCII text")
        return SecretStr(bare)


SOURCE = SourceKind(
    "onyx",
    settings=OnyxSettings,
    open=OnyxSource,
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS, Capability.DOCUMENT_ERRORS}),
    rolls_up=frozenset({"last_sync_at"}),
    examines=True,
    # pairs with a queued or running attempt are skipped (onyx.md §6)
    one_job_at_a_time="connector",
    simulator=simulator,
    simulator_settings=lambda url: {"url": f"{url}/api", "token": TOKEN},
)
