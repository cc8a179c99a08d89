"""GraphiQL's files: what is served without a build, what the build is made of, and the examples that it opens with.

A browser meets it in tests/proofs/test_browser.py.
"""

import json
import re
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate

from connectory.web import graphiql
from tests.api.gateway import served
from tests.paths import ROOT

EXAMPLES = ROOT / "web" / "src" / "examples.graphql"


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "STATIC", tmp_path)


@pytest.mark.usefixtures("unbuilt")
async def test_without_a_build_the_page_says_what_it_needs(sqlite_url: str) -> None:
    headers = {"Accept": "text/html"}
    async with served(sqlite_url) as client, client.session.get(f"{client.url}/graphql", headers=headers) as answer:
        text = await answer.text()
    assert not graphiql.is_built()
    assert f">{graphiql.NOTE}</p>" in text.partition("<body>")[2]
    assert "default-src" not in answer.headers["Content-Security-Policy"]


def test_examples_are_valid_and_one_to_a_tab() -> None:
    """``main.jsx`` cuts the file where two lines are empty, and GraphiQL names each tab after its operation."""
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8"))
    names = []
    for tab in re.split(r"\n{3,}", EXAMPLES.read_text(encoding="utf-8")):
        document = parse(tab)
        assert validate(schema, document) == []
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        assert operation.name is not None
        assert not operation.variable_definitions, "it runs as it is"
        names.append(operation.name.value)
    assert names[0] == "Overview"
    assert len(set(names)) == len(names) >= 5


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    packages = lock["packages"]
    assert len(packages) > 1
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_packages_are_pinned() -> None:
    package = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))
    versions = package["dependencies"] | package["devDependencies"]
    assert [name for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
