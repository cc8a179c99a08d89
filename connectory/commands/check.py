"""``connectory check``: try the store, and ask every configured system and receiver once, all at the same time.

Nothing is written, started or sent.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from connectory.config.loading import Config
from connectory.config.settings import StoreSettings
from connectory.model import Known, SystemErrorCode
from connectory.notices.sending import Sender
from connectory.notices.settings import ReceiverSettings
from connectory.observability.log import Redaction
from connectory.store import StoreError
from connectory.store.trial import try_out
from sources.base import SourceError, SourceKind, SystemSettings

#: A system may need several requests to answer; this many times its own timeout is the end of it.
_REQUESTS = 6
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")

#: What a failed system's owner can do about it.
HINTS = {
    SystemErrorCode.UNREACHABLE: "look at its url, and whether it runs and can be reached from here",
    SystemErrorCode.TIMEOUT: "raise its timeout, or find out what keeps it from answering",
    SystemErrorCode.TLS: "look at its certificate; verify_tls = false accepts any, for a test",
    SystemErrorCode.AUTH_FAILED: "look at its credentials and what they permit",
    SystemErrorCode.RATE_LIMITED: "it asks us to slow down; try again later, or raise its poll_interval",
    SystemErrorCode.UPSTREAM_ERROR: "the error is its own; its logs should tell more",
    SystemErrorCode.MISMATCH: "look whether its url leads to the API of this kind of system",
}
#: How far a request got that failed in this way.
_REACHED = {
    SystemErrorCode.UNREACHABLE: "not reachable",
    SystemErrorCode.TIMEOUT: "no answer",
    SystemErrorCode.TLS: "not reachable by TLS",
    SystemErrorCode.AUTH_FAILED: "reachable, not authenticated",
    SystemErrorCode.RATE_LIMITED: "reachable, rate limited",
    SystemErrorCode.UPSTREAM_ERROR: "reachable, answers with an error",
    SystemErrorCode.MISMATCH: "reachable, not understood",
}
#: Receivers are asked by OPTIONS: a message would be read by somebody.
_KNOCKED = "reachable; no message was sent, so whether it accepts one is not known"
_UNREACHABLE = "Nobody would be told; look at its url, and whether it runs and can be reached from here"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the store, a system or a receiver answered."""

    name: str
    kind: str
    is_well: bool
    answer: str


async def check(config: Config) -> list[CheckResult]:
    """One result for the store where there is something to say of it, then one for each system and for each receiver,
    in the order of the configuration. Takes as long as the slowest of them may."""
    redact = Redaction(config.secrets)
    store, *found = await asyncio.gather(
        _try(config.store),
        *(_ask(kind, settings, config) for kind, settings in config.systems),
        *(_knock(settings) for settings in config.receivers),
    )
    shown = [store, *found] if store.answer else found
    return [replace(result, answer=redact(_CONTROL.sub(" ", result.answer))) for result in shown]


def lines(results: Sequence[CheckResult]) -> list[str]:
    """One line each, in columns."""
    name = max((len(result.name) for result in results), default=0)
    kind = max((len(result.kind) for result in results), default=0)
    return [
        f"{result.name:{name}}  {result.kind:{kind}}  {'ok    ' if result.is_well else 'FAILED'}  {result.answer}"
        for result in results
    ]


async def _try(settings: StoreSettings) -> CheckResult:
    try:
        answer, is_well = await try_out(settings.url, settings.connections), True
    except StoreError as error:
        answer, is_well = f"serve could not start: {error}", False
    return CheckResult("store", settings.address.backend, is_well, answer)


async def _knock(settings: ReceiverSettings) -> CheckResult:
    sender = Sender(settings)
    try:
        outcome = await sender.knock()
    finally:
        await sender.close()
    answer = _KNOCKED if outcome.error is None else f"no answer to OPTIONS: {outcome.error} {_UNREACHABLE}"
    return CheckResult(settings.name, settings.format, outcome.error is None, answer)


async def _ask(kind: SourceKind, settings: SystemSettings, config: Config) -> CheckResult:
    is_well, answer = await _answer(kind, settings)
    wanted, effective = settings.stale_after or config.engine.stale_after, config.stale_after(settings)
    if effective > wanted:
        answer += f"; its stale_after is raised from {wanted:g} to {effective:g} seconds, three poll intervals"
    return CheckResult(settings.name, kind.name, is_well, answer)


async def _answer(kind: SourceKind, settings: SystemSettings) -> tuple[bool, str]:
    within = settings.timeout * _REQUESTS
    try:
        async with asyncio.timeout(within):
            return await _poll(kind, settings)
    except TimeoutError:
        return False, _failure(SystemErrorCode.TIMEOUT, f"not done within {within:g} s")
    except SourceError as error:
        return False, _failure(error.code, str(error))
    # a plug-in's mistake is a line about its system, too
    except Exception as error:
        return False, f"its adapter failed: {type(error).__name__}: {error}"


async def _poll(kind: SourceKind, settings: SystemSettings) -> tuple[bool, str]:
    source = kind.open(settings)
    try:
        seen = await source.poll(Known())
    finally:
        await source.close()
    count = len(seen.connectors)
    good = f"reachable, authenticated, {count:,} connector{'' if count == 1 else 's'}"
    if seen.complete and not seen.problems:
        return True, good
    if not seen.problems:
        return False, f"{good}, and the answer was not complete"
    problem = seen.problems[0]
    more = f" (and {len(seen.problems) - 1} more)" if len(seen.problems) > 1 else ""
    return False, f"{good}, but not all was readable: {problem.message}{more}; {HINTS[problem.code]}"


def _failure(code: SystemErrorCode, message: str) -> str:
    return f"{_REACHED[code]}: {message}; {HINTS[code]}"
