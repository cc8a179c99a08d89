"""The README says what is so."""

import re
import tomllib
from pathlib import Path

from graphql import build_schema, parse, validate

from connectory.config.loading import load
from tests.paths import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    assert found, f"the README has no {language} block"
    return found


def test_the_query_is_valid() -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    for block in blocks("graphql"):
        assert validate(schema, parse(block)) == []


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    environ = {"ONYX_TOKEN": "on_example", "ELASTIC_API_KEY": "ZXhhbXBsZTprZXk="}
    for block in blocks("toml"):
        file = tmp_path / "connectory.toml"
        file.write_text(block)
        assert len(load(file, environ=environ).systems) == len(tomllib.loads(block)["systems"])


def test_every_linked_file_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
