"""The middle of past values, where they have one."""

from collections.abc import Sequence
from statistics import median

#: Where half of the values are further from their median than this share of it, they have nothing in common.
_SPREAD = 0.5


def typical(values: Sequence[float]) -> float | None:
    """Their median, so that an odd one changes nothing; None of none, and where they have nothing in common."""
    if not values:
        return None
    middle = median(values)
    return middle if median(abs(value - middle) for value in values) <= _SPREAD * middle else None
