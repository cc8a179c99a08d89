"""The configuration: one TOML file, the environment, the command line; checked as a whole before anything starts.

Of two values for the same key the command line wins, then the environment, then the file, then the default.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from connectory.config.interpolation import Interpolation, KeyPath, spell
from connectory.config.problems import Problems, suggest
from connectory.config.settings import (
    AuthSettings,
    ConditionsSettings,
    EngineSettings,
    RetentionSettings,
    ServerSettings,
    StoreSettings,
)
from connectory.errors import Mistake
from connectory.notices.settings import ReceiverSettings
from connectory.redaction import SECRET_KEY
from sources import registry
from sources.base import SourceKind, SystemSettings

DEFAULT_FILE = Path("connectory.toml")
#: Environment variables that stand in for a key of the file. pydantic-settings would merge them too; its errors do not
#: say whether a value came from file, variable or option.
ENVIRONMENT: Mapping[str, KeyPath] = {
    "CONNECTORY_STORE_URL": ("store", "url"),
    "CONNECTORY_HOST": ("server", "host"),
    "CONNECTORY_PORT": ("server", "port"),
}
_TABLES = ("server", "auth", "store", "engine", "retention", "conditions", "systems", "notices")
#: Secrets within the URL of a store, as it is written.
_IN_URL = re.compile(r"://[^:/@\s]*:([^@\s]+)@|[?&](?:ssl)?password=([^&\s]+)")
_MINIMAL = """\
a small one, to begin with:

    [[systems]]
    name = "onyx-prod"
    kind = "onyx"
    url = "https://onyx.example.com/api"
    token = "${ONYX_TOKEN}"

or try the demo, which needs no file: make demo"""


class ConfigError(Mistake):
    """The configuration cannot be used. ``problems`` are sentences "FILE: key.path: what is wrong; what is valid"."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    @property
    def sentences(self) -> tuple[str, ...]:
        return self.problems


@dataclass(frozen=True)
class Config:
    """A configuration that has passed every check."""

    #: where it was read
    file: str
    server: ServerSettings
    auth: AuthSettings
    store: StoreSettings
    engine: EngineSettings
    retention: RetentionSettings
    conditions: ConditionsSettings
    #: each with the kind that it is of, in the order of the file
    systems: tuple[tuple[SourceKind, SystemSettings], ...]
    #: who is sent notices
    receivers: tuple[ReceiverSettings, ...]
    #: values that must never be shown
    secrets: frozenset[str] = field(repr=False)

    def stale_after(self, settings: SystemSettings) -> float:
        """Seconds until what was read of a system counts as stale: as configured, or three poll intervals if that is
        more."""
        wanted = settings.stale_after or self.engine.stale_after
        return max(wanted, 3 * (settings.poll_interval or self.engine.poll_interval))


@dataclass(frozen=True)
class Override:
    """A value from outside the file, and where it came from: ``--port`` or ``CONNECTORY_PORT``."""

    path: KeyPath
    value: Any
    origin: str


def load(path: Path | None, *, environ: Mapping[str, str], overrides: Iterable[Override] = ()) -> Config:
    """The configuration in ``path``, or in CONNECTORY_CONFIG, or in ./connectory.toml. Raises ConfigError.

    ``overrides`` are the command line's; the environment's are added here.
    """
    file = path or Path(environ.get("CONNECTORY_CONFIG") or DEFAULT_FILE)
    return build(read(file), str(file), environ=environ, overrides=[*from_environment(environ), *overrides])


def from_environment(environ: Mapping[str, str]) -> list[Override]:
    """An empty variable counts as absent."""
    return [Override(path, environ[name], name) for name, path in ENVIRONMENT.items() if environ.get(name)]


def read(file: Path) -> dict[str, Any]:
    """The document in ``file``. Raises ConfigError."""
    try:
        # a byte-order mark is what some editors leave at the start
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            [f"{file}: there is no such file; name one with --config or CONNECTORY_CONFIG;\n{_MINIMAL}"]
        ) from None
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([f"{file}: line {line}: is not UTF-8 text; save the file as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        where = f"{place.rstrip(')')}: " if place else ""
        raise ConfigError([f"{file}: {where}is not valid TOML: {reason}"]) from None
    except RecursionError:
        raise ConfigError([f"{file}: is nested too deeply"]) from None


def build(
    document: Mapping[str, Any], file: str, *, environ: Mapping[str, str], overrides: Iterable[Override] = ()
) -> Config:
    """The configuration that ``document`` and ``overrides`` make; of two overrides the later wins. Raises ConfigError
    with everything that is wrong."""
    problems = Problems(file)
    interpolation = Interpolation(environ, problems.add)
    resolved = interpolation.apply(dict(document))
    problems.secrets |= interpolation.values
    for override in overrides:
        table, key = override.path
        if isinstance(resolved.setdefault(table, {}), dict):
            resolved[table][key] = override.value
            problems.origins[override.path] = override.origin
            problems.found.pop(override.path, None)  # what it replaces need not be right
    _collect_secrets(resolved, "", problems.secrets)

    for key in resolved:
        if key not in _TABLES:
            problems.add((key,), f"unknown table{suggest(key, _TABLES)}")
    server = problems.check(ServerSettings, resolved.get("server", {}), ("server",))
    auth = problems.check(AuthSettings, resolved.get("auth", {}), ("auth",))
    store = problems.check(StoreSettings, resolved.get("store", {}), ("store",))
    engine = problems.check(EngineSettings, resolved.get("engine", {}), ("engine",))
    retention = problems.check(RetentionSettings, resolved.get("retention", {}), ("retention",))
    conditions = problems.check(ConditionsSettings, resolved.get("conditions", {}), ("conditions",))
    systems = _systems(resolved.get("systems", []), problems)
    receivers = _receivers(resolved.get("notices", []), [settings.name for _, settings in systems], problems)
    if server is not None and not server.is_local and not server.allow_anonymous:
        problems.add(
            ("server", "host"),
            f"{server.host} can be reached from other machines and nobody would have to authenticate; use 127.0.0.1, "
            "or set server.allow_anonymous = true to let everybody read",
        )
    if problems.found or not (server and auth and store and engine and retention and conditions):
        raise ConfigError(problems.sentences())
    secrets = frozenset(_secrets(store, [*(settings for _, settings in systems), *receivers]))
    return Config(file, server, auth, store, engine, retention, conditions, tuple(systems), tuple(receivers), secrets)


def _systems(entries: Any, problems: Problems) -> list[tuple[SourceKind, SystemSettings]]:
    if not isinstance(entries, list):
        problems.add(("systems",), "has to be a list of tables; head each system with [[systems]]")
        return []
    found: list[tuple[SourceKind, SystemSettings]] = []
    seen: dict[str, int] = {}
    for place, entry in enumerate(entries):
        path: KeyPath = ("systems", place)
        name = entry.get("name") if isinstance(entry, dict) else None
        kind = _kind(entry, path, problems)
        settings = problems.check(kind.settings, entry, path) if kind is not None else None
        if isinstance(name, str) and seen.setdefault(name, place) != place:
            first = spell(("systems", seen[name]))
            problems.add((*path, "name"), f'"{name}" is the name of {first} too; give each system its own')
        if kind is not None and settings is not None:
            found.append((kind, settings))
    return found


def _receivers(entries: Any, systems: Sequence[str], problems: Problems) -> list[ReceiverSettings]:
    if not isinstance(entries, list):
        problems.add(("notices",), "has to be a list of tables; head each receiver with [[notices]]")
        return []
    found: list[ReceiverSettings] = []
    for place, entry in enumerate(entries):
        path: KeyPath = ("notices", place)
        if not isinstance(entry, dict):
            problems.add(path, "has to be a table; head each receiver with [[notices]]")
            continue
        settings = problems.check(ReceiverSettings, entry, path)
        if settings is None:
            continue
        if settings.name in {other.name for other in found}:
            problems.add((*path, "name"), f'"{settings.name}" is the name of another one too; give each its own')
        for at, system in enumerate(settings.systems):
            if system not in systems:
                problems.add((*path, "systems", at), f'"{system}" is no configured system{suggest(system, systems)}')
        found.append(settings)
    return found


def _kind(entry: Any, path: KeyPath, problems: Problems) -> SourceKind | None:
    kinds = registry.kinds()
    valid = f"valid: {', '.join(sorted(kinds))}"
    if not isinstance(entry, dict):
        problems.add(path, "has to be a table; head each system with [[systems]]")
        return None
    name = entry.get("kind")
    if not isinstance(name, str):
        problems.add((*path, "kind"), f"{'is missing' if name is None else 'has to be text'}; {valid}")
        return None
    if name in kinds:
        return kinds[name]
    broken = registry.problems().get(name)
    if broken is not None:
        problems.add((*path, "kind"), f'"{name}" is registered and cannot be used: {broken}; {valid}')
    else:
        problems.add((*path, "kind"), f'"{name}" is no kind of system{suggest(name, sorted(kinds))}')
    return None


def _collect_secrets(value: Any, key: str, into: set[str]) -> None:
    """Every text under a secret-looking key, and the password of the store's URL, wherever it stands."""
    if isinstance(value, dict):
        for inner, item in value.items():
            _collect_secrets(item, inner, into)
    elif isinstance(value, list):
        for item in value:
            _collect_secrets(item, key, into)
    elif isinstance(value, str) and value:
        if SECRET_KEY.search(key):
            into.add(value)
        into.update(part for found in _IN_URL.findall(value) for part in found if part)


def _secrets(store: StoreSettings, entries: Iterable[BaseModel]) -> Iterable[str]:
    yield from store.address.secrets
    for settings in entries:
        yield from _secret_values(settings)


def _secret_values(settings: BaseModel) -> Iterable[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secret_values(value)
        elif isinstance(value, str) and value and SECRET_KEY.search(name):
            yield value
