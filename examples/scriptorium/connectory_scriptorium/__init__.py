"""Scriptorium: the scanning desks of a library and the batches of old books that they digitise (README.md)."""

from connectory.model import Capability
from connectory_scriptorium.client import ScriptoriumSettings, ScriptoriumSource
from connectory_scriptorium.simulator import TOKEN, simulator
from sources.base import ROLLED_UP, SourceKind

SOURCE = SourceKind(
    "scriptorium",
    settings=ScriptoriumSettings,
    open=ScriptoriumSource,
    capabilities=frozenset({Capability.JOB_HISTORY, Capability.JOB_PROGRESS, Capability.JOB_TOTALS}),
    rolls_up=ROLLED_UP - {"docs_indexed"},
    simulator=simulator,
    simulator_settings=lambda url: {"url": url, "token": TOKEN},
)
