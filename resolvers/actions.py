"""Actions: who may, and what the viewer is shown of the outcome."""

from dataclasses import dataclass
from typing import ClassVar

from connectory.model import ActionFailureCode, ActionRefusal, Role
from connectory.store.reads.records import SystemRecord
from resolvers.context import Context
from resolvers.notices import NoticeRecord, notice
from resolvers.systems import system_by_name


@dataclass(frozen=True, slots=True)
class Failed:
    """A refusal as GraphQL shows it."""

    typename: ClassVar[str] = "ActionFailed"

    code: ActionFailureCode
    message: str
    upstream_status: int | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SystemRefreshed:
    """The system has been polled, well or badly."""

    typename: ClassVar[str] = "SystemRefreshed"

    system: SystemRecord


async def refresh_system(ctx: Context, name: str) -> SystemRefreshed | Failed:
    """The system as it is after a fresh poll, whether that poll succeeded or failed."""
    refusal = _forbidden(ctx, Role.OPERATOR) or await _refresh(ctx, name)
    if refusal is not None:
        return _failed(refusal)
    found = await system_by_name(ctx, name)
    return SystemRefreshed(found) if found else _failed(_unknown(name))


async def _refresh(ctx: Context, name: str) -> ActionRefusal | None:
    """Those that one operation asks for of the same system share a poll: it began after the operation did."""
    assert ctx.actions is not None
    if name not in ctx.refreshed:
        await ctx.renew()  # an earlier action's snapshot must not be held while an upstream takes its time
        ctx.refreshed[name] = await ctx.actions.refresh(name)
        await ctx.renew()
    return ctx.refreshed[name]


@dataclass(frozen=True, slots=True)
class NoticeAcknowledged:
    """Somebody has seen to the notice."""

    typename: ClassVar[str] = "NoticeAcknowledged"

    notice: NoticeRecord


async def acknowledge_notice(ctx: Context, id: str) -> NoticeAcknowledged | Failed:
    """The notice as it then is."""
    ctx.refreshed.clear()
    await ctx.renew()
    refusal = _forbidden(ctx, Role.OPERATOR) or await _acknowledge(ctx, id)
    if refusal is not None:
        return _failed(refusal)
    await ctx.renew()
    found = await notice(ctx, id)
    return NoticeAcknowledged(found) if found else _failed(_no_notice(id))


async def _acknowledge(ctx: Context, id: str) -> ActionRefusal | None:
    """Only what the viewer can see."""
    assert ctx.actions is not None
    known = await notice(ctx, id)
    await ctx.renew()
    return _no_notice(id) if known is None else await ctx.actions.acknowledge(id, ctx.viewer.name)


def _no_notice(id: str) -> ActionRefusal:
    return ActionRefusal(ActionFailureCode.NOT_FOUND, f"There is no notice with the id {id!r}.")


def _forbidden(ctx: Context, needed: Role) -> ActionRefusal | None:
    """None when the viewer's role reaches ``needed``."""
    if ctx.viewer.role.value >= needed.value:
        return None
    message = f"This needs the role {needed}; {ctx.viewer.name} has {ctx.viewer.role}."
    return ActionRefusal(ActionFailureCode.FORBIDDEN, message)


def _unknown(name: str) -> ActionRefusal:
    return ActionRefusal(ActionFailureCode.NOT_FOUND, f"No system is configured by the name {name!r}.")


def _failed(refusal: ActionRefusal) -> Failed:
    return Failed(refusal.code, refusal.message, refusal.upstream_status, refusal.retry_after_seconds)
