"""Logging: a form for people, a form for machines, and no secret in either."""

import json
import subprocess
import sys
from typing import Any

import pytest

from connectory.observability.log import Redaction
from tests.paths import ROOT

#: Logs one record of each sort; the secret holds what JSON and Python would escape.
PROGRAM = """
import logging, sys, warnings
from connectory.observability import log
log.configure(json=sys.argv[1] == "json", secrets=['tok"en-\\u00e9', "abc"])
logger = logging.getLogger("connectory.engine")
logger.info("A system %s was polled.", "docs", extra={"action": "engine.poll", "tokens": ['tok"en-\\u00e9']})
try:
    raise ValueError("postgresql://user:hunter2@host/db refused " + 'tok"en-\\u00e9')
except ValueError:
    logger.exception("It failed with abc.", extra={"action": "engine.failed"})
logging.getLogger("elsewhere").warning("Authorization: Basic dXNlcjpwYXNz")
warnings.warn("careful")
logging.getLogger("strawberry.execution").error("logged by us instead")
"""


def run(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    for secret in ('tok"en', 'tok\\"en', "hunter2", "dXNlcjpwYXNz", "with abc"):
        assert secret not in done.stderr
    return done.stderr


def test_one_json_object_per_record() -> None:
    records: list[dict[str, Any]] = [json.loads(line) for line in run("json").splitlines()]
    assert [record["level"] for record in records] == ["info", "error", "warning", "warning"]
    first, failed, _, warned = records
    assert (first["event"], first["action"]) == ("A system docs was polled.", "engine.poll")
    assert first["logger"] == "connectory.engine"
    assert first["tokens"] == ["[redacted]"]
    assert first["timestamp"].endswith("Z")
    assert "ValueError: postgresql://user:[redacted]@host/db refused [redacted]" in failed["exception"]
    assert "careful" in warned["event"]


def test_a_line_for_people() -> None:
    output = run("console")
    assert "A system docs was polled." in output
    assert "action" not in output, "that is for machines"
    assert "\x1b[" not in output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("long-secret-1 and xlong-secret-1x", "[redacted] and x[redacted]x"),
        ("a cat sat with abc on a mat, abcd", "a cat sat with [redacted] on a mat, abcd"),
        ("https://h/?token=long%2Fsecret%2F2", "https://h/?token=[redacted]"),
        ("Authorization: Bearer x.y-z", "Authorization: [redacted]"),
        ("{'authorization': 'ApiKey c2VjcmV0', 'x': 1}", "{'authorization': '[redacted]', 'x': 1}"),
        ("sent Bearer eyJhbGciOi.J9", "sent Bearer [redacted]"),
        ("bearer credentials are missing", "bearer credentials are missing"),
        ("at https://u:p4ss@h.example.com:8/x", "at https://u:[redacted]@h.example.com:8/x"),
        ("at https://h.example.com:8/x@y", "at https://h.example.com:8/x@y"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert Redaction(["long-secret-1", "abc", "long/secret/2", ""])(text) == shown


def test_nothing_to_redact_changes_nothing() -> None:
    assert Redaction()("a sentence") == "a sentence"
