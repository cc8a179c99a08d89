"""Elastic Connectors: the connector and sync job API of Elasticsearch 8.12 and newer (elastic.md)."""

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, deferred
from sources.elastic.settings import ElasticSettings

SOURCE = SourceKind(
    "elastic",
    settings=ElasticSettings,
    open=deferred("sources.elastic.source:ElasticSource"),
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS, Capability.JOB_HEARTBEAT}),
    rolls_up=ROLLED_UP - {"last_sync_at"},
    # one content sync at a time per connector, oldest first (elastic.md §6)
    one_job_at_a_time="connector",
    tells_workers=True,
    simulator=deferred("sources.elastic.simulator.app:simulator"),
    simulator_settings=deferred("sources.elastic.simulator.app:settings"),
)
