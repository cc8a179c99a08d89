"""No secret of a Feldera's configurations and errors is shown, and nothing else is taken out."""

import time
from typing import Any

from connectory.model import Known
from sources.feldera.redaction import redacted
from tests.sources.cases import cases
from tests.sources.feldera_stage import WITH_PROGRAM, counters, feldera, pipeline, polled_endpoint, program, read, shown

SECRETS = {
    "sasl.password": "hush",
    "ssl.key.pem": "hush",
    "sasl.jaas.config": 'Login required username="a" password="hush";',
    "aws_secret_access_key": "hush",
    "azure_storage_account_key": "hush",
    "connection_string": "redis://:hush@cache",
    "uri": "postgres://writer:hush@db.example.com/alerts?sslmode=require",
    "dsn": "host=db user=writer password=hush dbname=x",
    "path": "https://files.example.com/a.csv?X-Amz-Signature=hush&X-Amz-Date=20260820",
    "headers": [{"key": "Authorization", "value": "Basic hush"}, {"name": "Cookie", "value": "hush"}],
    "nested": {"deeper": [{"api_key": "hush"}]},
    "rest.headers": [["Authorization", "hush"], ["X-Session-Token", "hush"]],
    "auth": {"nkey": "hush", "jwt": "hush", "user_and_password": {"user": "a", "password": "hush"}},
    "glue.access-key-id": "hush",
    "credentials": '{"private_key": "hush"}',
    "ssl_client_key": "hush",
    "note": "sent with Authorization: Bearer hush.hush",
}
HARMLESS = {
    "topic": "orders",
    "bootstrap.servers": "broker:9092",
    "primary_key": "id",
    "headers": [{"key": "trace", "value": "on"}],
    "key": "id",
    "key_separator": ":",
    "rest.headers": [["X-Region", "eu"]],
    "path": "https://files.example.com/a.csv?part=3",
    "token_refresh": True,
}


@cases("running", [True, False])
async def test_configurations_are_shown_without_secrets(running: bool) -> None:
    def config(options: dict[str, Any]) -> dict[str, Any]:
        return {"stream": "a", "transport": {"name": "kafka_input", "config": options}}

    info = program("p", {"a.secret": config(SECRETS)}, {"a.harmless": config(HARMLESS)})
    sent = [{**read("input/stats.just_started.response.json"), "endpoint_name": "a.secret"}]
    sent += [{**read("output/stats.running.response.json"), "endpoint_name": "a.harmless"}]
    stats = counters(sent[0], outputs=[sent[1]])
    async with feldera((pipeline("p", "Running" if running else "Stopped"), stats, info)) as (source, _):
        seen = await source.poll(Known())
    assert "hush" not in repr(seen)
    secret, harmless = (shown(fact)["config"]["transport"]["config"] for fact in seen.connectors)
    assert harmless == HARMLESS
    assert secret.keys() == SECRETS.keys()
    assert secret["uri"] == "postgres://db.example.com/alerts?sslmode=require"
    assert secret["path"].endswith("X-Amz-Signature=[redacted]&X-Amz-Date=20260820")
    assert secret["dsn"] == "host=db user=writer password=[redacted] dbname=x"


async def test_an_older_server_shows_a_whole_configuration() -> None:
    sent = read("input/stats.version_before_2025_09_full_config.response.json")
    fact, _ = await polled_endpoint(sent, is_input=True)
    assert fact.source == "kafka"
    assert "NOT-A-REAL-SECRET" not in repr(fact)
    assert shown(fact)["config"]["transport"]["config"]["sasl.password"] == "[redacted]"


@cases("where", ["fatal_error", "parse_errors", "transport_errors", "health", "deployment_error"])
async def test_error_texts_quote_no_secret(where: str) -> None:
    text = "no answer from https://bot:hush@db.example.com with password=hush"
    sent = read("input/stats.just_started.response.json")
    entry, stats = pipeline("p"), counters(sent)
    if where == "deployment_error":
        entry = pipeline("p", "Stopped", deployment_error={"message": text, "details": {"token": "hush", "at": [text]}})
    elif where == "health":
        sent["health"] = {"status": "Unhealthy", "description": text}
    else:
        sent[where] = text if where == "fatal_error" else [{"message": text, "index": 0, "tag": None}]
    async with feldera((entry, stats, read(WITH_PROGRAM))) as (source, _):
        seen = await source.poll(Known())
    assert "hush" not in repr(seen)
    assert "db.example.com" in repr(seen.connectors)


@cases(
    "text",
    ["x" * 8192, "a=" * 4096, "=" * 8192, "password" * 1024, "a " * 4096, "://" * 2700, " " * 8192, '"a":' * 2048],
)
def test_long_texts_are_searched_quickly(text: str) -> None:
    began = time.perf_counter()
    for _ in range(20):
        assert redacted(text)
    assert time.perf_counter() - began < 2


@cases(
    "text",
    [
        "unexpected token at line 1 column 1",
        "Missing bearer token",
        "the key = 5 violates primary_key = id",
        "https://files.example.com/a.csv?part=3",
        "invalid token: }",
        'Bearer error_description="Missing bearer token"',
        "",
    ],
)
def test_harmless_texts_stay_whole(text: str) -> None:
    assert redacted(text) == text
