"""Two self-signed certificates for 127.0.0.1: one that this process trusts, and one that nobody does."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aiohttp import connector

from tests.missing import missing


@dataclass(frozen=True)
class Certificates:
    """Contexts to serve with."""

    trusted: ssl.SSLContext
    strange: ssl.SSLContext


def make_certificates(folder: Path) -> Certificates:
    """The first becomes known to the context that aiohttp verifies with wherever it is given none."""
    if shutil.which("openssl") is None:
        missing("openssl", "install the package of that name")
    contexts = {}
    for name in ("trusted", "strange"):
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
        command += f" -addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}"
        subprocess.run(command.split(), check=True, capture_output=True)
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(certificate, key)
    connector._SSL_CONTEXT_VERIFIED.load_verify_locations(folder / "trusted.pem")
    return Certificates(**contexts)
