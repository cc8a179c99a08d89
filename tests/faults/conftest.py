"""The ground of every case, and certificates, which are made once and only where a test asks for them."""

import logging
from collections.abc import AsyncIterator, Callable
from functools import cache

import pytest

from connectory.store import Store
from tests.faults.certificates import Certificates, make_certificates
from tests.faults.ground import Ground, ground
from tests.faults.table import Fault

pytest.register_assert_rewrite("tests.faults.sequence")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Certificates]:
    @cache
    def made() -> Certificates:
        return make_certificates(tmp_path_factory.mktemp("certificates"))

    return made


@pytest.fixture
async def on(
    fault: Fault,
    kind: str,
    sqlite_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Callable[[], Certificates],
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Ground]:
    """What is true of every case: nobody's mistake is logged, and no secret is."""
    caplog.set_level(logging.INFO)
    async with ground(sqlite_store, fault, kind, monkeypatch, certificates) as on:
        yield on
    ours = [record for record in caplog.records if record.name.startswith(("connectory", "sources"))]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []
    for secret in (*on.troubled.secrets, *on.well.secrets):
        assert secret not in caplog.text
