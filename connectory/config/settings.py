"""What the tables of the configuration may hold, but for those of systems and receivers.

Times are seconds, but for those of retention.
"""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from connectory.config.limit_settings import LimitSettings
from connectory.lanes import CONNECTIONS, FEWEST
from connectory.limits import CONNECTIONS_BESIDE
from connectory.store_url import STORES, Address

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
#: An address in brackets or a name without any, then perhaps a port; nothing before, between or after.
_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)/?")
#: Ports that an origin leaves out.
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to ``host``. A name other than localhost is not."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_and_port(value: str) -> tuple[str, int | None] | None:
    """Name and port of what a Host header may hold, each name in one spelling; None for what is no such thing."""
    found = _AUTHORITY.fullmatch(value.lower())
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port or 0) > 65_535:
        return None
    try:
        name = str(ipaddress.IPv6Address(found["address"])) if found["address"] else host_name(found["name"])
    except ValueError:
        return None
    return name, port


def host_name(value: str) -> str:
    """A name or an address, with or without brackets, in one spelling: lower case, no dot at the end, an address as
    short as it can be. Raises ValueError for anything else."""
    name = value.lower().removesuffix(".")
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if _HOST_NAME.fullmatch(name) is None:
            raise
    return name


def origin(value: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an Origin header; None for ``null`` and for what is none."""
    found = _ORIGIN.fullmatch(value.strip().lower())
    place = host_and_port(found["authority"]) if found else None
    if found is None or place is None:
        return None
    return found["scheme"], place[0], place[1] or DEFAULT_PORTS[found["scheme"]]


def _host_name(value: str) -> str:
    try:
        return value if value == "*" else host_name(value.strip())
    except ValueError:
        raise ValueError('must be a host name or an address without scheme and port, or "*"') from None


def _origin(value: str) -> str:
    if origin(value) is None:
        raise ValueError("must be scheme, host and port only, as https://board.example.com")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Table, LimitSettings):
    """``[server]``"""

    host: str = Field("127.0.0.1", min_length=1, description="address or name to listen at")
    port: int = Field(8000, ge=0, le=65535, description="port to listen at, 0 to 65535; 0 takes any free one")
    allow_anonymous: bool = Field(
        False, description="true lets an address other than loopback serve everybody as VIEWER without authentication"
    )
    allowed_hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(
        (), description='a list of further host names; ["*"] leaves the check to a proxy in front'
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description='a list of further origins of browsers, as ["https://board.example.com"]'
    )
    connections: int = Field(12_000, ge=1, description="connections of any kind that there may be, 1 or more")
    connections_per_client: int = Field(
        2000,
        ge=1,
        description="live connections, WebSocket and SSE together, that one client address may hold, 1 or more; of "
        f"others it may hold {CONNECTIONS_BESIDE:,}",
    )
    subscriptions_per_socket: int = Field(
        100, ge=1, description="operations that one WebSocket may carry at once, 1 or more"
    )
    socket_message_bytes: int = Field(
        1 << 20, ge=1024, le=1 << 26, description="bytes of a message that a client sends by WebSocket, 1024 or more"
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


class AuthSettings(_Table):
    """``[auth]``"""

    anonymous: Literal["VIEWER", "OPERATOR"] = Field(
        default="VIEWER",
        description='"VIEWER", or "OPERATOR" for who comes over loopback to a loopback address, past any proxy',
    )


class StoreSettings(_Table):
    """``[store]``"""

    url: str = Field("sqlite:///connectory.db", repr=False, description=STORES)
    connections: int = Field(
        CONNECTIONS,
        ge=FEWEST,
        le=1_000,
        description=f"connections to PostgreSQL that the gateway takes at most, {FEWEST} to 1000",
    )

    @field_validator("url")
    @classmethod
    def _can_be_read(cls, url: str) -> str:
        Address.read(url)
        return url

    @property
    def address(self) -> Address:
        """The URL in its parts."""
        return Address.read(self.url)


class EngineSettings(_Table):
    """``[engine]``"""

    poll_interval: float = Field(15.0, ge=1, description="seconds between polls of an idle system, 1 or more")
    live_interval: float = Field(
        2.0, ge=0.5, description="seconds between polls while a job runs or somebody watches, 0.5 or more"
    )
    stale_after: float = Field(90.0, gt=0, description="seconds without a good poll until values count as stale")
    max_backoff: float = Field(60.0, gt=0, description="the longest wait in seconds between polls of a failing system")
    auth_probe_interval: float = Field(
        300.0, ge=1, description="seconds between tries with refused credentials, 1 or more"
    )


class RetentionSettings(_Table):
    """``[retention]``: what is kept at least; 0 sets no limit."""

    events_days: float = Field(30, ge=0, le=36_500, description="days that events are kept; 0 sets no limit")
    events: int = Field(1_000_000, ge=0, description="how many events are kept, each about 400 bytes; 0 sets no limit")
    jobs_days: float = Field(
        400,
        ge=0,
        le=36_500,
        description="days that jobs, outages and notices are kept after their end, and connectors after their removal; "
        "0 sets no limit",
    )
    jobs_per_connector: int = Field(
        1_000, ge=0, description="how many ended jobs of a connector are kept, each about 2,000 bytes; 0 sets no limit"
    )
    outages_per_system: int = Field(
        10_000, ge=0, description="how many outages of a system are kept, each about 200 bytes; 0 sets no limit"
    )
    notices: int = Field(
        20_000,
        ge=0,
        description="how many notices are kept that are over, each about 2,000 bytes for a receiver; 0 sets no limit",
    )


#: The largest limits: who sets them does not want to hear of it.
_YEAR, _MILLION = 31_536_000, 1_000_000


def _within_a_year(seconds: float) -> float:
    if seconds > _YEAR:
        raise ValueError(f"should be {_YEAR} at most, which is a year and as good as never")
    return seconds


def _within_a_million(value: float) -> float:
    if value > _MILLION:
        raise ValueError(f"should be {_MILLION} at most, which is as good as never")
    return value


_Seconds = Annotated[float, AfterValidator(_within_a_year)]
_Times = Annotated[float, AfterValidator(_within_a_million)]
_Runs = Annotated[int, AfterValidator(_within_a_million)]


class ConditionsSettings(_Table):
    """``[conditions]``: when a condition is raised, unless a connector's own past allows more. A year of seconds, and
    a million of anything else, switch it off."""

    queued: _Seconds = Field(120.0, gt=0, description="seconds that a job may wait: QUEUED, QUEUED_BEHIND, NO_WORKER")
    no_worker: _Seconds = Field(600.0, gt=0, description="seconds that a worker may be silent: NO_WORKER")
    no_progress: _Seconds = Field(900.0, gt=0, description="seconds that the counters may stand still: NO_PROGRESS")
    heartbeat: _Seconds = Field(600.0, gt=0, description="seconds that a running job may be silent: HEARTBEAT_LOST")
    checkpoint: _Seconds = Field(
        600.0, gt=0, description="seconds that a checkpoint may be held back: BLOCKS_CHECKPOINT"
    )
    error_window: _Seconds = Field(
        300.0, gt=0, description="seconds within which errors grew: PARSE_ERRORS, TRANSPORT_ERRORS"
    )
    overdue_least: _Seconds = Field(600.0, ge=0, description="seconds that a run may always be late: OVERDUE")
    overdue_factor: _Times = Field(2.0, ge=1, description="times the usual distance of its runs, 1 or more: OVERDUE")
    schedule_factor: _Times = Field(1.5, ge=1, description="times what its schedule says, 1 or more: OVERDUE")
    failures: _Runs = Field(2, ge=1, description="failed runs in a row, 1 or more: REPEATED_FAILURES")
    failures_critical: _Runs = Field(5, ge=1, description="failed runs in a row that make it CRITICAL, 1 or more")
    critical_factor: _Times = Field(4.0, ge=1, description="times the limit that makes NO_PROGRESS CRITICAL, 1 or more")
