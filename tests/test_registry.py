"""Kinds of system come by entry points; a broken plug-in is told of and takes nobody with it."""

import logging
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectory.config.loading import ConfigError, build
from sources import onyx, registry
from sources.registry import GROUP, load

#: Referred to by the entry points below, as a plug-in's objects would be.
NOT_A_KIND = object()
OTHER_NAME = onyx.SOURCE
onyx_again = onyx.SOURCE.__class__("onyx", onyx.SOURCE.settings, onyx.SOURCE.open, frozenset())
acme = onyx.SOURCE.__class__("acme", onyx.SOURCE.settings, onyx.SOURCE.open, frozenset())
acme_again = onyx.SOURCE.__class__("acme", onyx.SOURCE.settings, onyx.SOURCE.open, frozenset())
foreign_settings = onyx.SOURCE.__class__("foreign", SimpleNamespace, onyx.SOURCE.open, frozenset())  # type: ignore[arg-type]


class Installed(Distribution):
    """A distribution that exists for its name and version only."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: 1.5\n" if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def entry(name: str, value: str, distribution: str = "acme-connectory") -> EntryPoint:
    found = EntryPoint(name, value if ":" in value else f"{__name__}:{value}", GROUP)
    return found._for(Installed(distribution))  # type: ignore[attr-defined, no-any-return]


OWN = entry("onyx", "sources.onyx:SOURCE", "connectory")


def test_the_built_in_kinds_come_by_the_open_door() -> None:
    assert {"onyx", "elastic"} <= registry.kinds().keys()
    assert registry.kinds()["onyx"] is onyx.SOURCE
    assert registry.problems() == {}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (entry("acme", "no.such.module:SOURCE"), "cannot be imported: ModuleNotFoundError"),
        (entry("acme", "missing_name"), "cannot be imported: AttributeError"),
        (entry("acme", "NOT_A_KIND"), "has to be a sources.base.SourceKind"),
        (entry("acme", "OTHER_NAME"), 'calls itself "onyx"'),
        (entry("foreign", "foreign_settings"), "SystemSettings"),
    ],
)
def test_a_broken_plug_in_is_remembered_and_stops_nobody(
    broken: EntryPoint, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = load([broken, OWN])
    assert list(found.kinds) == ["onyx"]
    assert reason in found.problems[broken.name]
    assert "acme-connectory 1.5" in found.problems[broken.name]
    assert reason in caplog.text


def test_nobody_takes_the_name_of_a_built_in_kind(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = load([entry("onyx", "onyx_again", "a-first-in-the-alphabet"), OWN])
    assert found.kinds == {"onyx": onyx.SOURCE}
    assert found.problems == {}
    assert "a-first-in-the-alphabet 1.5" in caplog.text


def test_of_two_strangers_with_one_name_neither_wins() -> None:
    found = load([OWN, entry("acme", "acme", "one"), entry("acme", "acme_again", "two")])
    assert list(found.kinds) == ["onyx"]
    assert "one 1.5" in found.problems["acme"]
    assert "two 1.5" in found.problems["acme"]


def test_one_kind_registered_twice_is_one_kind() -> None:
    found = load([entry("acme", "acme", "one"), entry("acme", "acme", "two")])
    assert (list(found.kinds), found.problems) == (["acme"], {})


def test_a_configuration_that_needs_a_broken_plug_in_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "registry", lambda: load([OWN, entry("acme", "missing_name")]))
    with pytest.raises(ConfigError) as caught:
        build({"systems": [{"name": "a", "kind": "acme"}]}, "c.toml", environ={})
    (problem,) = caught.value.problems
    assert problem.startswith('c.toml: systems[0].kind: "acme" is registered and cannot be used: ')
    assert "acme-connectory 1.5" in problem
