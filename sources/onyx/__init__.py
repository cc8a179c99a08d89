"""Onyx: cc-pairs, federated connectors and index attempts (onyx.md)."""

from connectory.model import Capability
from sources.base import SourceKind, deferred
from sources.onyx.settings import OnyxSettings

SOURCE = SourceKind(
    "onyx",
    settings=OnyxSettings,
    open=deferred("sources.onyx.source:OnyxSource"),
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS, Capability.DOCUMENT_ERRORS}),
    rolls_up=frozenset({"last_sync_at"}),
    examines=True,
    # pairs with a queued or running attempt are skipped (onyx.md §6)
    one_job_at_a_time="connector",
    simulator=deferred("sources.onyx.simulator.app:simulator"),
    simulator_settings=deferred("sources.onyx.simulator.app:settings"),
)
