"""What docs/notices.md says of receiving is so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from connectory.config.loading import load
from connectory.model import DeliveryPhase
from connectory.notices.payload import signed
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from tests.api.test_notices import filled
from tests.notices.scene import deliveries
from tests.paths import ROOT

DOCUMENT = (ROOT / "docs" / "notices.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.S)
    assert found, language
    return found


def test_the_check_in_five_lines_tells_the_authentic_from_the_forged() -> None:
    known: dict[str, Any] = {}
    exec(blocks("python")[0], known)
    headers = signed(b'{"a": 1}', "the secret of both", "x.pager.raised", 1_770_000_000)
    assert known["is_authentic"](headers, b'{"a": 1}', "the secret of both")
    for body, secret in ((b'{"a": 2}', "the secret of both"), (b'{"a": 1}', "another secret")):
        assert not known["is_authentic"](headers, body, secret)


async def test_the_example_has_the_keys_of_what_is_sent(sqlite_store: Store) -> None:
    await filled(sqlite_store)
    (example,) = (json.loads(block) for block in blocks("json"))
    sent = [json.loads(row["payload"]) for row in await deliveries(sqlite_store)]
    for told in sent:
        assert list(told) == list(example)
        assert list(told["notice"]) == list(example["notice"])
    whole = next(told["notice"] for told in sent if told["notice"]["job"])
    for part in ("system", "connector", "job"):
        assert list(whole[part]) == list(example["notice"][part])
    assert {told["phase"] for told in sent} == {phase.name for phase in DeliveryPhase}


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    hooks = dict.fromkeys(("PAGER_URL", "CHAT_URL"), "https://hooks.example.com/x")
    environ = {"ONYX_TOKEN": "on_example", "PAGER_SECRET": "sixteen-and-more-characters", **hooks}
    file = tmp_path / "connectory.toml"
    for block in blocks("toml"):
        file.write_text(block)
        assert [each.name for each in load(file, environ=environ).receivers] == ["pager", "team-chat"]


def test_every_key_is_explained() -> None:
    for name, field in ReceiverSettings.model_fields.items():
        assert f"`{field.alias or name}`" in DOCUMENT


@pytest.mark.parametrize("block", blocks("graphql"))
def test_the_queries_are_valid(block: str) -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    assert validate(schema, parse(block)) == []
