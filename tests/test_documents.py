"""What is generated into the documents is up to date."""

import re
import runpy

import pytest

from tests.paths import ROOT

GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate.py"))


@pytest.mark.parametrize("document", GENERATOR["DOCUMENTS"])
def test_generated_tables_are_up_to_date(document: str) -> None:
    if GENERATOR["generated"](document) != (ROOT / document).read_text():
        pytest.fail(f"{document} is out of date: python docs/generate.py")


def test_every_capability_of_every_system_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, kind in GENERATOR["built_in"]().items():
        for capability in kind.capabilities:
            assert capability.name in readme, name


def test_what_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.(?:py|md|toml)|(?:\w+/)+)`", text))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
