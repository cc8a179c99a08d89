"""Keeps secrets out of what Feldera shows: connectors' configurations hold credentials, and error texts quote them."""

import re

from connectory.redaction import REDACTED, USERS, Redactor

#: Keys of transports that hold secrets and do not look like it everywhere: PEM texts, JAAS lines, keys of accounts and
#: certificates. Keys of tables and partitions are none.
_SECRET_OF_A_TRANSPORT = re.compile(
    r"pem$|jaas|signature|service_?account|account_?key|access[._-]key|cookie|^(nkey|jwt)$|"
    r"(?<!primary)(?<!partition)(?<!sort)(?<!hash)[._-]key$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+(?!\w+=\")(?=\S*[\d.+/=~])[\w.~+/=-]{8,}", re.IGNORECASE)
#: ``password=…`` in connection strings, JAAS lines and the queries of signed URLs, and ``"password": …`` in JSON.
#: Names longer than this are none; the bound keeps the search linear.
_ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<key>[\w.-]{1,80})(?P<sign>\s{0,8}=\s{0,8}|["']\s{0,8}:\s{0,8})(?:"[^"]*"|'[^']*'|[^&;,\s"']+)"""
)


def _mask_assigned(found: re.Match[str]) -> str:
    secret = _REDACTOR.names_a_secret(found["key"]) or found["key"].lower() == "sig"
    return f"{found['key']}{found['sign']}{REDACTED}" if secret else found[0]


#: Headers stand as ``{"key": "Authorization", "value": …}`` and as ``["Authorization", …]``.
_REDACTOR = Redactor(
    keys=_SECRET_OF_A_TRANSPORT,
    rules=[USERS, (_HEADER, rf"\g<scheme> {REDACTED}"), (_ASSIGNED, _mask_assigned)],
    pairs=[dict, list],
)
redacted, without_secrets = _REDACTOR.text, _REDACTOR.without_secrets
unknown, extra = _REDACTOR.unknown, _REDACTOR.extra
