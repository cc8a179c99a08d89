"""Logging: everybody logs a sentence with ``extra={"action": …}`` through the standard library; this gives it form.

On a terminal a line for people, elsewhere one JSON object per line, both on standard error. Secrets are taken out last,
when the line is text, so that none comes through in a message, a key or a traceback.
"""

import json as jsonlib
import logging
import re
import sys
from collections.abc import Iterable
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from connectory.redaction import REDACTED

#: Loggers that would repeat what we log ourselves, or tell us of every request.
_QUIET = {
    "strawberry.execution": logging.CRITICAL + 1,
    "elastic_transport": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "alembic": logging.WARNING,
}
#: Secrets of this length or more are replaced inside words too.
_LONG = 8
_HEADER = re.compile(
    r"""(?ix)\b((?:proxy-)?authorization|cookie|x-api-key)(["']?\s*[:=]\s*["']?)(?:(?:bearer|basic|apikey)\s+)?[^\s"',}]+"""
)
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic|apikey)\s+(?=\S*[0-9=_.-])[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s/]+@")


class Redaction:
    """Takes secrets out of text: the values that it was given, and what looks like a credential wherever it stands."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        patterns = [_pattern(form) for form in sorted(forms, key=len, reverse=True)]
        self._values = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(REDACTED, text)
        text = _HEADER.sub(rf"\1\2{REDACTED}", text)
        text = _CREDENTIAL.sub(rf"\1 {REDACTED}", text)
        return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)


def _forms(secret: str) -> set[str]:
    """How a value may be spelled in a line: as it is, as Python, in a URL, and any of these within JSON."""
    spelled = {secret, repr(secret)[1:-1], quote(secret, safe="")}
    return spelled | {jsonlib.dumps(form, ensure_ascii=ascii)[1:-1] for form in spelled for ascii in (True, False)}


def _pattern(form: str) -> str:
    """A short secret is replaced as a word of its own only; "a" may well be a password, and every sentence has one."""
    escaped = re.escape(form)
    return escaped if len(form) >= _LONG else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def configure(json: bool | None = None, secrets: Iterable[str] = ()) -> None:
    """Send every log record to standard error. ``json`` None means: unless standard error is a terminal.

    May be called again, as soon as the configuration has told its ``secrets``.
    """
    if json is None:
        json = not sys.stderr.isatty()
    redact = Redaction(secrets)

    def redacted(_: WrappedLogger, __: str, rendered: str | EventDict) -> str:
        return redact(str(rendered))

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        # what stands beside the sentence is for programs: people have the sentence
        *([structlog.stdlib.ExtraAdder()] if json else []),
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
    ]
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
        if json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering, redacted],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
