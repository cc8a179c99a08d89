"""What the system knows of a TCP connection and can be asked to do about it."""

import asyncio
import ipaddress
import socket

#: Seconds of silence before the system asks whether the peer is still there, between such questions, and how many of
#: them it may leave without an answer.
_ASK_AFTER, _ASK_EVERY, _ASK_TIMES = 30, 10, 3
#: Seconds that what was sent may stay unacknowledged, or find no room at a peer that reads nothing. Longer than our own
#: deadlines, which say why.
_GIVE_UP_AFTER = 60.0
#: Bytes that wait in the system for a client before we count them as not taken. It would hold megabytes otherwise.
_UNSENT = 128 * 1024
#: Bits of an IPv6 address that tell one customer from another: what follows is theirs to choose.
_NETWORK = 64


def notice_silence(transport: asyncio.BaseTransport) -> None:
    """Let the system end a connection whose peer has gone without a word: by a power cut, or behind a firewall that
    forgot it."""
    set_tcp_option(transport, "TCP_KEEPIDLE", _ASK_AFTER)
    set_tcp_option(transport, "TCP_KEEPINTVL", _ASK_EVERY)
    set_tcp_option(transport, "TCP_KEEPCNT", _ASK_TIMES)
    set_tcp_option(transport, "TCP_USER_TIMEOUT", round(_GIVE_UP_AFTER * 1000))
    set_tcp_option(transport, "TCP_NOTSENT_LOWAT", _UNSENT)


def set_tcp_option(transport: asyncio.BaseTransport, name: str, value: int) -> None:
    """Where the system knows the option, and the connection is TCP."""
    found = transport.get_extra_info("socket")
    if hasattr(socket, name) and found.family in (socket.AF_INET, socket.AF_INET6):
        found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def client_of(transport: asyncio.BaseTransport) -> str:
    """Who is counted as one client: an address, of IPv6 the network that one customer has."""
    peer = transport.get_extra_info("peername")
    address = str(peer[0]) if peer else ""
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Network((address.partition("%")[0], _NETWORK), strict=False))
