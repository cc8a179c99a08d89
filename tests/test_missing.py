"""What a machine lacks is never left out unseen."""

import pytest

from tests.missing import missing


@pytest.mark.parametrize("setting", [None, "0", ""])
def test_what_is_missing_is_skipped_with_a_hint(monkeypatch: pytest.MonkeyPatch, setting: str | None) -> None:
    monkeypatch.delenv("CONNECTORY_REQUIRE_ALL", raising=False)
    if setting is not None:
        monkeypatch.setenv("CONNECTORY_REQUIRE_ALL", setting)
    with pytest.raises(pytest.skip.Exception, match="Chromium is missing: get one"):
        missing("Chromium", "get one")


def test_a_complete_machine_may_skip_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTORY_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is missing: start it"):
        missing("PostgreSQL", "start it")
