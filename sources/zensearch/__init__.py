"""ZenSearch: connectors and their sync jobs (zensearch.md)."""

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, deferred
from sources.zensearch.settings import ZenSearchSettings

SOURCE = SourceKind(
    "zensearch",
    settings=ZenSearchSettings,
    open=deferred("sources.zensearch.source:ZenSearchSource"),
    capabilities=frozenset({Capability.JOB_PROGRESS}),
    rolls_up=ROLLED_UP - {"docs_indexed", "last_sync_at"},
    simulator=deferred("sources.zensearch.simulator.app:simulator"),
    simulator_settings=deferred("sources.zensearch.simulator.app:settings"),
)
