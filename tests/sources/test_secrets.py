"""No configured credential and no secret of an upstream gets out, whatever quotes it; and no answer is endless."""

import base64
import gzip
from urllib.parse import quote

import pytest
from aiohttp import web

import connectory.http.client
from connectory.http.client import HttpClient
from connectory.model import Known
from connectory.redaction import REDACTED, text, without_secrets
from sources.base import SourceError, SourceMismatch
from sources.elastic import SOURCE as ELASTIC
from sources.simulation import serve
from tests.sources.cases import cases

PASSWORD = "correct horse & battery"


@cases("status", [400, 401, 403, 429, 500])
async def test_an_error_that_quotes_our_credentials_is_redacted(status: int) -> None:
    async def quoting(request: web.Request) -> web.Response:
        sent = request.headers["Authorization"]
        reason = f"unable to authenticate with [{sent}], [{PASSWORD}] or [{quote(PASSWORD, safe='')}]"
        return web.json_response(
            {"error": {"type": "security_exception", "reason": reason}, "status": status}, status=status
        )

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", quoting)
    async with serve(app) as running:
        settings = {"name": "x", "kind": "elastic", "url": running.url, "username": "bob", "password": PASSWORD}
        source = ELASTIC.open(ELASTIC.settings.model_validate(settings))
        with pytest.raises(SourceError) as caught:
            await source.poll(Known())
        await source.close()
    said = str(caught.value)
    sent = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
    assert REDACTED in said
    assert [secret for secret in (PASSWORD, quote(PASSWORD, safe=""), sent) if secret in said] == []


async def test_an_answer_may_not_unpack_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectory.http.client, "_LARGEST", 1 << 20)

    async def bomb(_: web.Request) -> web.Response:
        packed = gzip.compress(b" " * (4 << 20))
        return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    app = web.Application()
    app.router.add_get("/", bomb)
    async with serve(app) as running:
        settings = {"name": "x", "kind": "elastic", "url": running.url, "token": "secret"}
        async with HttpClient(ELASTIC.settings.model_validate(settings)) as client:
            with pytest.raises(SourceMismatch, match="more than 1,048,576 bytes"):
                await client.get("/")


@cases(
    ("said", "shown"),
    [
        ("mongodb+srv://bob:PW@h/x", f"mongodb+srv://{REDACTED}@h/x"),
        ("see https://u:P@W@host/a?b and ftp://v:PW@h", f"see https://{REDACTED}@host/a?b and ftp://{REDACTED}@h"),
        ("Server=x;Password=PW;a=b", f"Server=x;Password={REDACTED};a=b"),
        ("GET /?api_key=PW&page=2", f"GET /?api_key={REDACTED}&page=2"),
        ("https://host/path?mail=a@b.c", "https://host/path?mail=a@b.c"),
        ("https://bob@host", "https://bob@host"),
        ("a = b, 1 == 1", "a = b, 1 == 1"),
    ],
)
def test_secrets_within_texts(said: str, shown: str) -> None:
    assert text(said) == shown
    assert without_secrets({"a": [said]}) == {"a": [shown]}


@cases(
    "key",
    [
        "password", "passwords", "Passphrase", "client_secret", "X-Api-Key", "api-key", "apiKeys", "api keys",
        "private-key", "connection-string", "connectionString", "account_key", "AccessKey", "shared-key", "Cookie",
        "set-cookie", "signature", "auth_token", "Authorization",
    ],
)  # fmt: skip
def test_keys_of_secrets(key: str) -> None:
    assert without_secrets({key: "PW", "kept": {key: ["PW"]}}) == {key: REDACTED, "kept": {key: REDACTED}}


@cases("key", ["name", "bypass", "keyboard", "compass", "primary_key", "cookies_enabled", "assigned"])
def test_keys_that_are_none(key: str) -> None:
    assert without_secrets({key: "value"}) == {key: "value"}
