"""The store's URL: read as libpq reads it, and shown without what is nobody's business."""

import pytest

from connectory.store_url import Address

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgres://u@h", "postgresql://u@h"),
        ("postgresql+asyncpg://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgresql://", "postgresql://"),
        ("postgresql:///d?host=/run/postgresql&port=5433", "postgresql:///d?host=%2Frun%2Fpostgresql&port=5433"),
        ("postgresql://:5433/d", "postgresql:///d?port=5433"),
        ("postgresql://u@%2Frun%2Fpostgresql/d", "postgresql://u@%2Frun%2Fpostgresql/d"),
        ("postgresql://u@[::1]:5433/d", "postgresql://u@[::1]:5433/d"),
        ("postgresql://u@a:1,[::1],c/d", "postgresql://u@a:1,[::1],c/d"),
        # what libpq wants to be encoded and SQLAlchemy does not
        ("postgresql://u:a/b#c?d@h/d", "postgresql://u:a%2Fb%23c%3Fd@h/d"),
        ("postgresql://me@corp:p@h/d", "postgresql://me%40corp:p@h/d"),
        ("postgresql://u:a%40b+c@h/d", "postgresql://u:a%40b%2Bc@h/d"),
        ("postgresql://h/d?options=-c%20a%3Db@c", "postgresql://h/d?options=-c%20a%3Db%40c"),
        ("postgresql://h/d?ssl=true&fallback_application_name=x",
         "postgresql://h/d?sslmode=require&application_name=x"),
        ("postgresql://h/d?sslsni=1&gssencmode=disable&channel_binding=prefer&options=", "postgresql://h/d"),
        ("postgresql://h/d?application_name=a&application_name=b+c", "postgresql://h/d?application_name=b%2Bc"),
    ],
)  # fmt: skip
def test_what_the_driver_is_given(url: str, dsn: str) -> None:
    assert Address.read(url).dsn() == dsn


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("sqlite+aiosqlite:////b/a.db", "sqlite:////b/a.db"),
        (f"postgresql://u:{SECRET}@h:1,i/d?sslpassword={SECRET}", "postgresql://u:***@h:1,i/d"),
        (f"postgresql://u@h/d?password={SECRET}&pasword={SECRET}", "postgresql://u@h/d"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    address = Address.read(url)
    assert str(address) == shown
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmode=full", "sslmode"),
        ("ssl_min_protocol_version=1.2", "ssl_min_protocol_version"),
        ("target_session_attrs=writer", "target_session_attrs"),
        ("channel_binding=require", "channel_binding"),
        ("hostaddr=127.0.0.1", "hostaddr"),
        ("requirepeer=postgres", "requirepeer"),
        ("connect_timeout=soon", "connect_timeout"),
        ("port=many", "port"),
        (f"scram_client_key={SECRET}", "scram_client_key"),
    ],
)
def test_what_the_driver_cannot_follow_is_named(query: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        Address.read(f"postgresql://u:{SECRET}@h/d?{query}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("hosts", ["h:port", "h:1:2", "a,,b", "a,", "[::1", "h:123456"])
def test_what_is_no_host(hosts: str) -> None:
    with pytest.raises(ValueError, match="host or port"):
        Address.read(f"postgresql://{hosts}/d")


@pytest.mark.parametrize(("query", "seconds"), [("", None), ("?connect_timeout=7", 7.0), ("?connect_timeout=0", None)])
def test_how_long_connecting_may_take(query: str, seconds: float | None) -> None:
    assert Address.read(f"postgresql://h/d{query}").connect_timeout == seconds
