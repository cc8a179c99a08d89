"""Why a request failed, in a sentence."""

import os
import ssl
from collections.abc import Mapping

import aiohttp


def _of_the_operating_system(error: OSError) -> str:
    """asyncio words a refused connection in its own way; the system's way is better known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0:
        return error.strerror or "the connection broke off"
    return os.strerror(error.errno)


#: What the HTTP library words in its own way, quoting URLs and answers.
_WORDS: Mapping[type[BaseException], str] = {
    aiohttp.ClientPayloadError: "the answer broke off, or cannot be unpacked",
    aiohttp.ClientResponseError: "the answer is no HTTP that can be read",
    ValueError: "no request can be made of the URL",
}


def reason(error: BaseException) -> str:
    """What went wrong, without URLs that might carry a secret."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {_of_the_operating_system(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, OSError):
        return _of_the_operating_system(error)
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "the request failed")
