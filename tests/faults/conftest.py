"""Certificates are made once, and only where a test asks for them."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.faults.certificates import Certificates, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Certificates]:
    @cache
    def made() -> Certificates:
        return make_certificates(tmp_path_factory.mktemp("certificates"))

    return made
