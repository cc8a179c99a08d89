"""How much is proved: what a few minutes allow, or all that we promise."""

import os
from typing import TypeVar

T = TypeVar("T")

#: Set by ``make proofs FULL=1``.
FULL = os.environ.get("CONNECTORY_FULL") == "1"


def size(short: T, full: T) -> T:
    """``full`` with FULL=1, else ``short``."""
    return full if FULL else short
