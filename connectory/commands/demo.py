"""``connectory demo``: a simulator of every kind that has one, and the gateway over them, in one process."""

import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from connectory.commands import simulators
from connectory.commands.gateway import gateway
from connectory.config.loading import Config, Override, build
from connectory.web import graphiql

#: Seconds between polls: a demo should move while one looks.
POLL_INTERVAL = 2.0
LIVE_INTERVAL = 1.0
#: Seconds: what waits or stands still should show while one looks, too.
PATIENCE = {"queued": 15.0, "no_progress": 45.0}
#: What the folder of a demo begins with, and the file in it that is locked for as long as the demo runs.
FOLDER, LOCK = "connectory-demo-", "running.lock"
#: What the greeting says where the page for people could not be built.
UNBUILT = (
    "GraphiQL was not built, so its page needs the internet. `make graphiql` builds it; what kept it from that stands "
    "further up."
)
EXAMPLE = (
    "{ systems { name health totalConnectors } connectors(first: 5) { nodes { name source status docsIndexed } } }"
)


@dataclass(frozen=True)
class Demo:
    """What runs, and where."""

    url: str
    #: where each simulator answers, by the kind's name
    simulators: dict[str, str]

    def greeting(self) -> str:
        """What ``connectory demo`` prints once it runs."""
        width = max((len(kind) for kind in self.simulators), default=0)
        lines = [f"  {kind:{width}}  {url}" for kind, url in self.simulators.items()]
        return "\n".join(
            [
                "",
                "Connectory demo. Nothing here is real; everything moves.",
                "",
                f"  GraphiQL    {self.url}/graphql        open it in a browser",
                f"  GraphQL     {self.url}/graphql        POST",
                f"  Metrics     {self.url}/metrics",
                "",
                "Simulated systems:",
                *lines,
                "",
                "Ask for example:",
                f"  curl -s {self.url}/graphql -H 'Content-Type: application/json' \\",
                f"""    -d '{{"query": "{EXAMPLE}"}}'""",
                "",
                *([] if graphiql.is_built() else [UNBUILT, ""]),
                "Ctrl-C ends it.",
                "",
            ]
        )


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes away at the end; those of demos that were killed go too."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*/{LOCK}"):
        with suppress(OSError), left.open("w") as lock:  # it is somebody else's, or its demo runs
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=FOLDER) as name, (Path(name) / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


@asynccontextmanager
async def demo(
    overrides: Iterable[Override], *, speed: float, seed: int, configured: Callable[[Config], None]
) -> AsyncIterator[Demo]:
    """Run simulators and gateway for as long as the block runs.

    The store is a file that goes away with the demo, unless ``overrides`` names another. ``configured`` is told of the
    configuration before the gateway starts.

    Raises ConfigError, CannotListen and StoreError.
    """
    async with AsyncExitStack() as stack:
        kept = stack.enter_context(folder())
        urls: dict[str, str] = {}
        systems = []
        for name, kind in simulators.simulated_kinds().items():
            urls[name] = await stack.enter_async_context(simulators.simulating(kind, speed=speed, seed=seed))
            systems.append(simulators.system(kind, urls[name]))
        document = {
            # the data is invented: whoever is let in by another bind address may read it
            "server": {"allow_anonymous": True},
            "auth": {"anonymous": "OPERATOR"},
            "store": {"url": f"sqlite:///{kept / 'demo.db'}"},
            "engine": {"poll_interval": POLL_INTERVAL, "live_interval": LIVE_INTERVAL},
            "conditions": PATIENCE,
            "systems": systems,
        }
        config = build(document, "the demo's configuration", environ={}, overrides=overrides)
        configured(config)
        yield Demo(await stack.enter_async_context(gateway(config)), urls)
