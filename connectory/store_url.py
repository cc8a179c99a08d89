"""Where the store is: its URL in parts, checked, and what of it may be shown.

A PostgreSQL URL is read as libpq reads it (postgresql.org/docs/current/libpq-connect.html): several hosts, and every
parameter that libpq and the driver have in common. What is a setting of the session (``application_name``, ``options``)
goes to the server, and so does a name that nobody knows: the server refuses it in its own words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote

#: How a store may be named, for people.
STORES = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"

_SCHEME = re.compile(r"(?P<backend>\w+)(?:\+\w+)?://(?P<rest>.*)", re.S)
_PLACE = r"(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
#: As libpq reads it; and with signs in user and password that libpq wants to be encoded and others do not.
_READINGS = (
    re.compile(r"(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@/?]*))?@)?" + _PLACE, re.S),
    re.compile(r"(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@" + _PLACE, re.S),
)
#: Empty, one host or several; each may have a port.
_HOSTS = re.compile(r"(?:(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:,@]+)(?::[0-9]{0,5})?(?:,(?!$)|$))*|:[0-9]{1,5}")
#: Parameters whose values are secrets.
_SECRETS = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
#: Parameters of which the driver takes these values.
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "ssl_max_protocol_version": _TLS,
    "ssl_min_protocol_version": _TLS,
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
#: Parameters for which the driver has no word, with the values that ask for what it does anyway.
_FIXED: Mapping[str, tuple[str, ...]] = {
    "channel_binding": ("prefer", "disable"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8", "auto"),
    "gssdelegation": ("0",),
    "gssencmode": ("prefer", "disable"),
    "hostaddr": (),
    "keepalives": (),
    "keepalives_count": (),
    "keepalives_idle": (),
    "keepalives_interval": (),
    "load_balance_hosts": ("disable",),
    "max_protocol_version": ("3.0",),
    "min_protocol_version": ("3.0",),
    "oauth_client_id": (),
    "oauth_client_secret": (),
    "oauth_issuer": (),
    "oauth_scope": (),
    "replication": ("false", "off", "no", "0"),
    "require_auth": (),
    "requirepeer": (),
    "requiressl": ("0",),
    "scram_client_key": (),
    "scram_server_key": (),
    "sslcertmode": ("allow",),
    "sslcompression": ("0",),
    "sslcrldir": (),
    "sslkeylogfile": (),
    "sslsni": ("1",),
    "tcp_user_timeout": ("0",),
}


@dataclass(frozen=True, slots=True)
class Address:
    """One store. Of PostgreSQL, ``parameters`` are those of the URL that ask for something."""

    url: str = field(repr=False)
    backend: str
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: str = ""
    database: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """Raises ValueError, which says what is wrong and holds no value of the URL."""
        found = _SCHEME.fullmatch(url)
        if found is None:
            raise ValueError("cannot be read")
        backend = {"postgres": "postgresql"}.get(found["backend"], found["backend"])
        if backend == "sqlite":
            return cls(url, backend)
        if backend != "postgresql":
            raise ValueError(f"cannot be a {backend} database")
        for reading in _READINGS:
            parts = reading.fullmatch(found["rest"])
            if parts is not None and _HOSTS.fullmatch(parts["hosts"]):
                break
        else:
            raise ValueError("cannot be read: its host or port is not one")
        user, password, database = (unquote(parts[name] or "") for name in ("user", "password", "database"))
        hosts, parameters = parts["hosts"], _parameters(parts["query"] or "")
        if hosts.startswith(":"):  # the usual place, at another port
            hosts, parameters = "", {"port": hosts[1:], **parameters}
        return cls(url, backend, user, password, hosts, database, parameters)

    @property
    def secrets(self) -> frozenset[str]:
        """Texts that must never be shown."""
        found = [self.password, *(self.parameters.get(name, "") for name in _SECRETS)]
        return frozenset(secret for secret in found if secret)

    @property
    def connect_timeout(self) -> float | None:
        """Seconds; None where it is not limited."""
        seconds = int(self.parameters.get("connect_timeout", "0"))
        return float(seconds) if seconds > 0 else None

    def __str__(self) -> str:
        """To be shown: without secrets, and without parameters, whose names may be misspelled."""
        if self.backend == "sqlite":
            return f"sqlite://{self.url.partition('://')[2]}"
        return f"postgresql://{self._place('***')}"

    def dsn(self, *without: str) -> str:
        """As the driver takes it: everything encoded, and no parameter that is named here."""
        shown = {name: value for name, value in self.parameters.items() if name not in without}
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in shown.items())
        return f"postgresql://{self._place(quote(self.password, safe=''))}" + (f"?{query}" if query else "")

    def _place(self, password: str) -> str:
        user = quote(self.user, safe="") + (f":{password}" if self.password else "")
        database = f"/{quote(self.database, safe='')}" if self.database else ""
        return (f"{user}@" if user else "") + self.hosts + database


def _parameters(query: str) -> dict[str, str]:
    """Those that ask for something; of two with one name the last holds. Raises ValueError, which names one."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = (unquote(part) for part in pair.partition("="))
        if name == "ssl":  # JDBC's word, which libpq takes too, and the driver's own
            name, value = "sslmode", "require" if value == "true" else value
        if value:
            found[name] = value
    for name, value in list(found.items()):
        if name in _TAKEN and value not in _TAKEN[name]:
            raise ValueError(f"has a {name} that is none of {', '.join(_TAKEN[name])}")
        if name in _FIXED:
            _check_fixed(name, found.pop(name))
    _check_numbers(found)
    if "fallback_application_name" in found:
        found.setdefault("application_name", found.pop("fallback_application_name"))
    return found


def _check_fixed(name: str, value: str) -> None:
    if value in _FIXED[name]:
        return
    if _FIXED[name]:
        raise ValueError(f"has a {name} that the driver cannot follow; it takes {', '.join(_FIXED[name])}")
    raise ValueError(f"has the parameter {name}, which the driver cannot follow; leave it out")


def _check_numbers(parameters: Mapping[str, str]) -> None:
    if re.fullmatch(r"-?[0-9]{1,9}", parameters.get("connect_timeout", "0")) is None:
        raise ValueError("has a connect_timeout that is no number of seconds")
    if re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", parameters.get("port", "0")) is None:
        raise ValueError("has a port that is no number")
