"""What the tables ``[server]``, ``[store]`` and ``[engine]`` of the configuration may hold. All times are seconds."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_STORES = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?")
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


def origin(value: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an Origin header; None for ``null`` and for what is none."""
    try:
        parts = urlsplit(value.strip().lower())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    if parts.path.strip("/") or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def _host_name(value: str) -> str:
    name = value.strip().lower().strip("[]")
    if name == "*" or _HOST_NAME.fullmatch(name):
        return name.rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        raise ValueError('must be a host name or an address without scheme and port, or "*"') from None


def _origin(value: str) -> str:
    if origin(value) is None:
        raise ValueError("must be scheme, host and port only, as https://board.example.com")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Table):
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
    connections_per_client: int = Field(
        2000,
        ge=1,
        description="live connections, WebSocket and SSE together, that one client address may hold, 1 or more",
    )
    subscriptions_per_socket: int = Field(
        100, ge=1, description="operations that one WebSocket may carry at once, 1 or more"
    )
    socket_message_bytes: int = Field(
        1 << 20, ge=1024, le=1 << 26, description="bytes of a message that a client sends by WebSocket, 1024 or more"
    )

    @property
    def is_local(self) -> bool:
        return is_loopback(self.host)


class StoreSettings(_Table):
    """``[store]``"""

    url: str = Field("sqlite:///connectory.db", repr=False, description=_STORES)

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        try:
            backend = make_url(url).drivername.partition("+")[0]
        except (ArgumentError, ValueError):
            raise ValueError("cannot be read as a URL") from None
        if backend not in ("sqlite", "postgresql", "postgres"):
            raise ValueError(f"names a {backend} database, which cannot hold the store")
        return url

    @property
    def password(self) -> str | None:
        return make_url(self.url).password


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
