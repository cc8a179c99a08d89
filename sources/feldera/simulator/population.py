"""Who lives in the simulated Feldera: pipelines in every state, with inputs and outputs of many transports."""

from collections.abc import Callable, Iterable
from typing import Any

from sources.feldera.simulator.deployment import Pipeline, panic
from sources.feldera.simulator.endpoints import Endpoint, Profile
from sources.feldera.simulator.world import FelderaWorld

PANIC = "The pipeline panicked: worker 3 ran out of memory"

_BROKER: dict[str, Any] = {"bootstrap.servers": "broker:9092", "sasl.password": "not-a-real-one"}
_S3: dict[str, Any] = {"bucket_name": "exports", "region": "eu-central-1", "aws_secret_access_key": "not-a-real-one"}
_DB = "postgres://writer:not-a-real-one@db.example.com/app"
_LAKE = "https://lake.example.com"


def _orders() -> Iterable[Endpoint]:
    careless = Profile(parse_errors=0.05, frontier=True, tag="json", complaint="error parsing field 'amount'")
    kafka = {"topic": "orders", "start_from": "earliest", "resume_earliest_if_data_expires": False, **_BROKER}
    csv = Profile((60, 95), size=25_000)
    yield Endpoint("orders", "kafka_orders", True, "kafka_input", kafka, careless)
    yield Endpoint(
        "customers", "unnamed-0", True, "url_input", {"path": "https://files.example.com/customers.csv"}, csv
    )
    yield Endpoint(None, "now", True, "clock_input", profile=Profile((1, 1), record_bytes=8), ad_hoc=True)
    yield Endpoint("order_totals", "kafka_out", False, "kafka_output", {"topic": "totals", **_BROKER}, _SENDING)


def _ledger() -> Iterable[Endpoint]:
    moody = Profile(moody=True, barrier=True, tag="delta_read")
    slow = Profile((1, 25), parse_errors=0.01, transport_errors=0.02, tag="delta_commit")
    table = {"uri": f"{_LAKE}/ledger", "mode": "follow"}
    yield Endpoint("ledger", "delta_ledger", True, "delta_table_input", table, moody)
    yield Endpoint("balances", "delta_out", False, "delta_table_output", {"uri": f"{_LAKE}/balances"}, slow)


def _nightly() -> Iterable[Endpoint]:
    dirty = Profile((80, 140), size=4200, parse_errors=0.3, tag="csv", complaint="missing field 'sku'", frontier=True)
    yield Endpoint("products", "s3_products", True, "s3_input", {**_S3, "prefix": "products/"}, dirty)
    yield Endpoint("regions", "unnamed-0", True, "datagen", {}, Profile((40, 60), size=900, frontier=True))
    yield Endpoint("product_count", "unnamed-0", False, "file_output", {"path": "/var/tmp/products.json"}, _SENDING)


def _prices() -> Iterable[Endpoint]:
    refused = Profile(fatal=(2, "unable to list objects: AccessDenied"), rate=(0, 0), tag="s3_list")
    yield Endpoint("prices", "s3_prices", True, "s3_input", {**_S3, "key": "prices.csv"}, refused)
    yield Endpoint("quotes", "pubsub_quotes", True, "pub_sub_input", {"subscription": "quotes"}, starts_paused=True)


def _clicks() -> Iterable[Endpoint]:
    nats = {
        "connection_config": {"server_url": "nats://queue.example.com", "auth": {"token": "not-a-real-one"}},
        "stream_name": "clicks",
        "consumer_config": {"deliver_policy": "All"},
    }
    reconnecting = Profile((10, 60), record_bytes=82, moody=True)
    yield Endpoint("clicks", "nats_clicks", True, "nats_input", nats, Profile((35, 95)))
    yield Endpoint("alerts", "pg_out", False, "postgres_output", {"uri": _DB, "table": "alerts"}, reconnecting)


def _sales() -> Iterable[Endpoint]:
    slow = Profile((5, 9), size=100_000, tag="csv")
    yield Endpoint("Sales.Items", "csv_2024", True, "file_input", {"path": "/data/items.csv", "follow": False}, slow)


def _archive() -> Iterable[Endpoint]:
    table = {"uri": _DB, "publication": "events", "source_table": "events"}
    yield Endpoint("events", "cdc_events", True, "postgres_cdc_input", table)
    cache = {"connection_string": "redis://:not-a-real-one@cache"}
    yield Endpoint("event_days", "redis_days", False, "redis_output", cache, _SENDING)


def _broken() -> Iterable[Endpoint]:
    yield Endpoint("trips", "iceberg_trips", True, "iceberg_input", {"mode": "snapshot", "table_name": "trips"})


def _migration() -> Iterable[Endpoint]:
    yield Endpoint("bids", "nexmark_bids", True, "nexmark", {"table": "bid"})


_SENDING = Profile((30, 80), record_bytes=82)


def populate(world: FelderaWorld) -> None:
    """The cast, each in its state, and what will happen to it by itself."""
    orders = world.add("orders", description="Order totals", tags=("prod", "sales"), endpoints=list(_orders()))
    world.run_since(orders, 160)
    world.visit(orders, "orders")
    world.run_since(world.add("ledger", tags=("prod",), endpoints=list(_ledger())), 95)
    world.run_since(world.add("prices", endpoints=list(_prices()), has_storage=False, storage="Cleared"), 30)
    clicks = world.add("clicks", endpoints=list(_clicks()))
    world.run_since(clicks, 120, "Paused")
    _every(world, (40, 70), lambda: world.hold(clicks, "Paused" if clicks.runtime == "Running" else "Running"))
    world.run_since(world.add("sales", endpoints=list(_sales())), 60)
    nightly = world.add("nightly", endpoints=list(_nightly()), bootstraps=True)
    world.run_since(nightly, 20)
    _every(world, (6, 10), lambda: _round(world, nightly))
    world.add("archive", endpoints=list(_archive()))
    broken = world.add("broken", endpoints=list(_broken()))
    broken.error = panic(PANIC)
    migration = world.add("migration", endpoints=list(_migration()), needs_approval=True)
    world.start_pipeline(migration)
    draft = world.add("draft", program_status="SqlError", storage="Cleared")
    draft.program_since = world.now
    quotes = next(e for e in world.pipelines["prices"].endpoints if e.connector == "pubsub_quotes")
    _every(world, (70, 120), lambda: setattr(quotes, "paused", not quotes.paused))
    _every(world, (100, 140), lambda: _retry(world, broken))


def _every(world: FelderaWorld, seconds: tuple[float, float], happening: Callable[[], None]) -> None:
    """``happening``, over and over, so many seconds apart."""

    def again() -> None:
        happening()
        world.after(world.random.uniform(*seconds), again)

    world.after(world.random.uniform(*seconds), again)


def _round(world: FelderaWorld, pipeline: Pipeline) -> None:
    """The nightly run: stopped some time after everything was read, started some time after that."""
    idle = (world.now - pipeline.since["status"]).total_seconds()
    if pipeline.status == "Stopped" and idle > 20:
        world.start_pipeline(pipeline)
    elif pipeline.status == "Running" and pipeline.is_complete and pipeline.age > 90:
        world.stop(pipeline)


def _retry(world: FelderaWorld, pipeline: Pipeline) -> None:
    """Started by hand after it had broken down, it breaks down again a little later."""
    if pipeline.status == "Stopped":
        pipeline.error = None
        world.start_pipeline(pipeline)
        world.after(45, lambda: world.fail(pipeline, PANIC))
