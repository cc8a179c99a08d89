"""How times and numbers read in a condition's sentence and in its evidence."""

from datetime import UTC, datetime


def spoken(at: datetime) -> str:
    """For people: ``2026-08-20 10:00 UTC``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def spoken_iso(text: str) -> str:
    return spoken(datetime.fromisoformat(text))


def iso(at: datetime | None) -> str | None:
    """For programs: ISO 8601 in UTC, null for null."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def lasting(seconds: float) -> str:
    """A threshold for people: in seconds, minutes or hours, whichever reads best."""
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number != 1 else f"1 {noun.removesuffix('s')}"
