"""Lucidworks: the data sources and crawls of LucidWorks Search 2.x, and of Fusion by its job API (lucidworks.md)."""

from connectory.model import Capability
from sources.base import ROLLED_UP, SourceKind, deferred
from sources.lucidworks.settings import LucidworksSettings

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
