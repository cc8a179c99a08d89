"""``[[notices]]``: mistakes name the key and what would be valid, and no secret shows."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectory.config.loading import Config, ConfigError, load
from connectory.model import NoticeKind
from connectory.notices.settings import ReceiverSettings

SYSTEM = """
[[systems]]
name = "docs"
kind = "onyx"
url = "https://onyx.example.com/api"
token = "tok-3141592653"
"""
PAGER = """
[[notices]]
name = "pager"
url = "https://hooks.example.com/in/path-of-the-hook"
secret = "sec-2718281828459"
"""


def right(folder: Path, text: str) -> Config:
    file = folder / "connectory.toml"
    file.write_text(text)
    return load(file, environ={})


def test_a_receiver_is_told_everything_unless_it_asks_for_less(tmp_path: Path) -> None:
    chosen = PAGER.replace("pager", "slack").replace('secret = "sec-2718281828459"', 'format = "slack"')
    chosen += 'conditions = ["NO_PROGRESS", "JOB_FAILED"]\nsystems = ["docs"]\nsources = ["web"]\nfor = 300\n'
    config = right(tmp_path, SYSTEM + PAGER + chosen + 'severities = ["CRITICAL"]')
    pager, slack = config.receivers
    assert (pager.name, pager.format, pager.conditions, pager.timeout) == ("pager", "json", (), 10.0)
    assert [pager.holds(kind) for kind in NoticeKind] == [60.0, 0.0, 0.0]
    assert [slack.holds(kind) for kind in NoticeKind] == [300.0] * 3
    assert (slack.format, slack.secret, slack.severities) == ("slack", None, ("CRITICAL",))


def test_urls_and_secrets_of_receivers_are_secrets(tmp_path: Path) -> None:
    config = right(tmp_path, PAGER)
    assert {"sec-2718281828459", "https://hooks.example.com/in/path-of-the-hook"} <= config.secrets
    for secret in ("sec-2718281828459", "path-of-the-hook"):
        assert secret not in repr(config) + str(config.receivers)


def test_neither_a_mistake_nor_anybody_later_tells_or_alters_what_was_given() -> None:
    given = {"name": "pager", "url": "https://hooks.example.com/in", "secret": "sec-2718281828459"}
    with pytest.raises(ValidationError) as wrong:
        ReceiverSettings.model_validate(given | {"name": "Sec-2718281828459"})
    assert "2718281828459" not in str(wrong.value)
    with pytest.raises(ValidationError, match="frozen"):
        ReceiverSettings.model_validate(given).name = "other"


MISTAKES = [
    ("[notices]\nname = 'a'", "notices", ["[[notices]]"]),
    ("notices = [3]", "notices[0]", ["[[notices]]"]),
    (PAGER + PAGER, "notices[1].name", ['"pager"']),
    (PAGER.replace('"pager"', '"My Pager"'), "notices[0].name", ["lower-case"]),
    (PAGER.replace('name = "pager"', ""), "notices[0].name", ["missing"]),
    (PAGER.replace("https://", "ftp://"), "notices[0].url", ["URL", "http://"]),
    (PAGER.replace('secret = "sec-2718281828459"', ""), "notices[0]", ["secret is missing"]),
    (PAGER.replace("sec-2718281828459", "short"), "notices[0].secret", ["16"]),
    (PAGER + 'format = "slack"', "notices[0]", ["secret is for"]),
    (PAGER + 'format = "xml"', "notices[0].format", ["json", "slack"]),
    (PAGER + 'conditions = ["QUEUED"]', "notices[0].conditions[0]", ["NO_PROGRESS", "JOB_FAILED", "SYSTEM_DOWN"]),
    (PAGER + 'severities = ["INFO"]', "notices[0].severities[0]", ['"WARNING" and "CRITICAL"']),
    (PAGER + 'systems = ["dogs"]', "notices[0].systems[0]", ['"dogs"', 'did you mean "docs"']),
    (PAGER + "for = -1", "notices[0].for", ["greater than or equal to 0", "seconds"]),
    (PAGER + "fro = 1", "notices[0].fro", ["unknown key", 'did you mean "for"']),
    (PAGER + "timeout = 0", "notices[0].timeout", ["greater than 0"]),
]


@pytest.mark.parametrize(("text", "key", "said"), MISTAKES, ids=[f"{n}-{m[1]}" for n, m in enumerate(MISTAKES)])
def test_a_mistake_names_the_key_and_what_is_valid(tmp_path: Path, text: str, key: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        right(tmp_path, text + SYSTEM)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'connectory.toml'}: {key}: ")
    for part in said:
        assert part in problem
    for secret in ("sec-2718281828459", "path-of-the-hook"):
        assert secret not in problem
