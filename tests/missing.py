"""What a machine may lack: a test that needs it says so, or fails where everything has to be there."""

import os
from typing import Literal, NoReturn

import pytest

#: The things that the tests need beside the program.
Part = Literal["PostgreSQL", "Node.js build", "Chromium", "openssl", "Feldera client"]


def missing(part: Part, hint: str) -> NoReturn:
    """Skip the running test because ``part`` is not there; ``hint`` tells a person how to get it.

    With CONNECTORY_REQUIRE_ALL=1 in the environment (a complete machine, such as CI) the test fails instead,
    so that nothing is left out unseen.
    """
    reason = f"{part} is missing: {hint}"
    if os.environ.get("CONNECTORY_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (CONNECTORY_REQUIRE_ALL=1: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)
