"""Grounds for faults, and certificates, which are made once and only where a test asks for them. For every conftest."""

import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from connectory.store import Store
from tests.faults.certificates import Certificates, make_certificates
from tests.faults.ground import Ground, ground
from tests.faults.table import Fault

pytest.register_assert_rewrite("tests.faults.sequence")

#: A ground at the site of a fault, in a system of a kind.
Grounds = Callable[[Fault, str], AbstractAsyncContextManager[Ground]]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Certificates]:
    @cache
    def made() -> Certificates:
        return make_certificates(tmp_path_factory.mktemp("certificates"))

    return made


@pytest.fixture
def grounds(
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Callable[[], Certificates],
    caplog: pytest.LogCaptureFixture,
) -> Grounds:
    """Each with a store of its own."""
    caplog.set_level(logging.INFO)
    empty, numbers = sqlite_url.removeprefix("sqlite:///"), count(1)

    @asynccontextmanager
    async def opened(fault: Fault, kind: str) -> AsyncIterator[Ground]:
        store = Store(f"sqlite:///{shutil.copy(empty, tmp_path / f'ground_{next(numbers)}.db')}")
        await store.open()
        try:
            async with ground(store, fault, kind, monkeypatch, certificates) as on:
                yield on
        finally:
            await store.close()

    return opened
