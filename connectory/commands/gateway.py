"""The gateway as a whole: store, engine and web application of one configuration."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectory import __version__
from connectory.config.loading import Config
from connectory.engine import ConfiguredSystem, Engine
from connectory.engine.judging.thresholds import Thresholds
from connectory.notices.notices import Notices, notifying
from connectory.store import Store
from connectory.web.app import METRICS, build_app
from connectory.web.serving import serving

log = logging.getLogger(__name__)


def configured_systems(config: Config) -> list[ConfiguredSystem]:
    """The systems as the engine takes them, with effective times: stale_after is at least three poll intervals,
    max_backoff at least one."""
    engine, thresholds = config.engine, Thresholds(**config.conditions.model_dump())
    found = []
    for kind, settings in config.systems:
        poll_interval = settings.poll_interval or engine.poll_interval
        found.append(
            ConfiguredSystem(
                kind=kind,
                settings=settings,
                poll_interval=poll_interval,
                live_interval=settings.live_interval or engine.live_interval,
                stale_after=config.stale_after(settings),
                max_backoff=max(engine.max_backoff, poll_interval),
                auth_probe_interval=engine.auth_probe_interval,
                thresholds=thresholds,
            )
        )
    return found


@asynccontextmanager
async def gateway(config: Config) -> AsyncIterator[str]:
    """Run the gateway for as long as the block runs; gives its URL. Raises CannotListen and StoreError."""
    store = Store(config.store.url, connections=config.store.connections)
    engine = Engine(store, configured_systems(config), retention=config.retention)
    notices = Notices(store, engine.bus, config.receivers)
    app = build_app(store, engine, config.server, config.auth)
    app[METRICS].add_deliveries(notices.deliveries, [each.name for each in config.receivers])
    async with (
        serving(app, config.server.host, config.server.port) as url,
        notifying(notices),
        _while_current(store),
    ):
        await store.keep()
        names = [settings.name for _, settings in config.systems]
        log.info(
            "Connectory %s is at %s/graphql (GraphiQL in a browser).",
            __version__,
            url,
            extra={
                "action": "gateway.start",
                "version": __version__,
                "url": url,
                "config": config.file,
                "store": str(config.store.address),
                "systems": names,
                "receivers": len(config.receivers),
                "poll_interval": config.engine.poll_interval,
            },
        )
        if not names:
            log.warning("No system is configured: add [[systems]].", extra={"action": "gateway.no_systems"})
        yield url


@asynccontextmanager
async def _while_current(store: Store) -> AsyncIterator[None]:
    """End the block when a newer version upgrades the store. Raises StoreUpgraded then."""
    block, upgraded = asyncio.current_task(), asyncio.create_task(store.until_upgraded(), name="revision")
    assert block is not None

    def end(_: object) -> None:
        if not upgraded.cancelled():
            block.cancel()

    upgraded.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if upgraded.done():
            block.uncancel()
            await upgraded
        raise
    finally:
        upgraded.cancel()
