"""Kinds of values that only Feldera sends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sources.base import SourceMismatch
from sources.feldera.redaction import redacted
from sources.reading import LenientReader, count, instant


def epoch_seconds(value: object) -> datetime | None:
    """``start_time`` counts seconds, unlike all other times of Feldera (feldera.md §6)."""
    number = count(value)
    if number is None:
        return None
    try:
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        raise SourceMismatch(f"expected a time, got {number}") from None


def error_texts(value: object, complaints: list[str], within: str) -> list[dict[str, Any]] | None:
    """A list of ConnectorError (feldera.md §5) as ``{index, tag, message, at}``; None when there is no list.

    ``complaints`` take what could not be read ``within`` it.
    """
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise SourceMismatch(f"expected a list, got {type(value).__name__}")
    texts = []
    for sent in value:
        try:
            read = LenientReader(sent, complaints, within)
            message = read.demand("message", redacted)
        except SourceMismatch as error:
            complaints.append(f"{within}{error}")
            continue
        at = read("timestamp", instant)
        index, tag = read("index", count), read("tag", redacted)
        texts.append({"index": index, "tag": tag, "message": message, "at": at.isoformat() if at else None})
    return texts
