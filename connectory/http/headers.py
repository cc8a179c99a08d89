"""Values of headers: the credentials that are sent, and the times that are answered."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

#: Seconds that a Retry-After makes us wait at most: what asks for more is asked again by then.
LONGEST_RETRY_AFTER = 3_600.0


def bearer(token: SecretStr) -> str:
    """The Authorization header's value for a token."""
    return f"Bearer {token.get_secret_value()}"


def basic(username: str, password: SecretStr) -> str:
    """The same for a user and a password."""
    return "Basic " + base64.b64encode(f"{username}:{password.get_secret_value()}".encode()).decode()


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, at most LONGEST_RETRY_AFTER; None without one, and for what is none.

    RFC 9110 §10.2.3: whole digits, or a date, which counts from the answer's own Date; ``now`` stands in for that.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    until = http_date(value)
    if until is None:
        return None
    sent = http_date(headers.get("Date", "")) or now or datetime.now(UTC)
    return min(max(0.0, (until - sent).total_seconds()), LONGEST_RETRY_AFTER)


def http_date(text: str) -> datetime | None:
    """The moment of an HTTP date; None for any other text."""
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # also a year or a zone that no clock has
        return None
