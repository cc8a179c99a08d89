"""The command line. A user's mistake ends with a sentence and status 2, never with a traceback.

Each command imports what it needs when it runs, so that help and the small commands start at once; what none of them
may import is in ``tests/test_start.py``.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from connectory import __version__
from connectory.errors import Mistake

if TYPE_CHECKING:
    from connectory.config.loading import Config, Override

app = typer.Typer(
    name="connectory",
    help="Connectory: one GraphQL API over every connector you run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(name="db", help="Look after the store: upgrade.", no_args_is_help=True)
app.add_typer(db)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file; default: CONNECTORY_CONFIG, else ./connectory.toml."),
]
_HOST, _PORT = "Address to listen at", "Port to listen at; 0 takes a free one"
_CONFIGURED = "default: the configuration's, else"
HostOption = Annotated[str | None, typer.Option("--host", metavar="H", help=f"{_HOST}; {_CONFIGURED} 127.0.0.1.")]
PortOption = Annotated[
    int | None, typer.Option("--port", metavar="P", min=0, max=65535, help=f"{_PORT}; {_CONFIGURED} 8000.")
]
SimulatorHostOption = Annotated[str, typer.Option("--host", metavar="H", help=f"{_HOST}.")]
SimulatorPortOption = Annotated[int, typer.Option("--port", metavar="P", min=0, max=65535, help=f"{_PORT}.")]
SpeedOption = Annotated[
    float, typer.Option("--speed", metavar="X", min=0.001, max=1e6, help="How much faster simulated time runs.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same world.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="Where to keep what is seen; default: gone at the end.")
]


@app.command()
def serve(config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run the gateway in the foreground."""
    from connectory.observability import log

    log.configure()
    with _explained():
        loaded = _load(config, _overrides(host, port))
        # a mistake in the configuration is told before all that serving needs is there
        from connectory.commands.gateway import gateway
        from connectory.web.serving import forever, run

        async def main() -> None:
            async with gateway(loaded):
                await forever()

        run(main)


@app.command(name="demo")
def demo_command(
    port: PortOption = None, speed: SpeedOption = 1.0, seed: SeedOption = 0, store: StoreOption = None
) -> None:
    """Run simulated systems and the gateway over them in one process.

    CONNECTORY_HOST and CONNECTORY_PORT are heeded; CONNECTORY_STORE_URL is not, so that no demo gets into a real store.
    """
    from connectory.commands import demo
    from connectory.config.loading import from_environment
    from connectory.observability import log
    from connectory.web.serving import forever, run

    log.configure()
    overrides = [o for o in from_environment(os.environ) if o.path[0] == "server"] + _overrides(None, port, store)

    async def main() -> None:
        async with demo.demo(overrides, speed=speed, seed=seed, configured=_keep_secrets) as running:
            typer.echo(running.greeting())
            await forever()

    with _explained():
        run(main)


@app.command(name="check")
def check_command(config: ConfigOption = None) -> None:
    """Validate the configuration, try the store, ask every system and receiver once: one line each."""
    import asyncio

    from connectory.observability import log

    log.configure()
    with _explained():
        loaded = _load(config)
    # a mistake in the configuration is told before all that asking needs is there
    from connectory.commands import check

    results = asyncio.run(check.check(loaded))
    for line in check.lines(results):
        typer.echo(line)
    if not results:
        typer.echo("The configuration is valid and names no system.")
    raise typer.Exit(0 if all(result.is_well for result in results) else 1)


@app.command()
def simulate(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="elastic, feldera, lucidworks, onyx, zensearch, or one that you added."),
    ],
    host: SimulatorHostOption = "127.0.0.1",
    port: SimulatorPortOption = 0,
    speed: SpeedOption = 1.0,
    seed: SeedOption = 0,
) -> None:
    """Run one simulated system alone."""
    from connectory.commands import simulators
    from connectory.observability import log
    from connectory.web.serving import forever, run

    log.configure()
    kinds = simulators.simulated_kinds()
    if kind not in kinds:
        _fail(f'there is no simulator of "{kind}"; valid: {", ".join(kinds) or "none"}')

    async def main() -> None:
        async with simulators.simulating(kinds[kind], host=host, port=port, speed=speed, seed=seed) as url:
            entry = simulators.snippet(simulators.system(kinds[kind], url))
            typer.echo(f"A simulated {kind} is at {url}; Ctrl-C ends it. This opens it:\n\n{entry}\n")
            await forever()

    with _explained():
        run(main)


@app.command(name="export-schema")
def export_schema() -> None:
    """Print the GraphQL schema."""
    from schema import build_schema

    typer.echo(build_schema().as_str())


@db.command(name="upgrade")
def upgrade_command(config: ConfigOption = None) -> None:
    """Migrate the store to this version."""
    import asyncio

    from connectory.observability import log
    from connectory.store import upgrade

    log.configure()
    with _explained():
        loaded = _load(config)
        asyncio.run(upgrade(loaded.store.url))
    typer.echo("The store is at this version.")


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", is_eager=True, callback=lambda wanted: _print_version(wanted), help="Print it."
        ),
    ] = False,
) -> None:
    pass


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"connectory {__version__}")
        raise typer.Exit


def _overrides(host: str | None, port: int | None, store: str | None = None) -> "list[Override]":
    from connectory.config.loading import Override

    given = [
        Override(("server", "host"), host, "--host"),
        Override(("server", "port"), port, "--port"),
        Override(("store", "url"), store, "--store"),
    ]
    return [override for override in given if override.value is not None]


def _load(file: Path | None, overrides: "list[Override] | None" = None) -> "Config":
    from connectory.config.loading import load

    loaded = load(file, environ=os.environ, overrides=overrides or [])
    _keep_secrets(loaded)
    return loaded


def _keep_secrets(config: "Config") -> None:
    from connectory.observability import log

    log.configure(secrets=config.secrets)


@contextmanager
def _explained() -> Iterator[None]:
    """What the user can put right, as sentences on standard error."""
    try:
        yield
    except Mistake as mistake:
        _fail(*mistake.sentences, status=mistake.status)


def _fail(*sentences: str, status: int = Mistake.status) -> NoReturn:
    for sentence in sentences:
        typer.echo(f"connectory: {sentence}", err=True)
    raise typer.Exit(status)


def main() -> None:
    gc.disable()  # what is imported lives as long as we do; ``serving.forever`` begins to look for what does not
    app(prog_name="connectory")
