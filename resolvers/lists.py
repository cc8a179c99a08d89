"""Lists: what may be asked of a table, and the connection that answers it.

A list stands at the root or under a parent (the jobs of a connector, the connectors of a system). Lists under many
parents with the same arguments are read by one statement for all of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, func, select

from connectory.model import DescribedEnum
from connectory.store.reads.keyset import Ordering
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables.columns import Instant, Ranked
from resolvers.context import Context
from resolvers.paging import (
    Edge,
    FacetCount,
    PageArguments,
    PageInfo,
    decode_cursor,
    encode_cursor,
    is_long,
    not_ours,
)

#: Stands for the parent of a list that has none.
ROOT = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A table that can be listed."""

    name: str
    columns: Sequence[Any]
    #: order field → column
    orders: Mapping[DescribedEnum, Any]
    #: facet → column
    facets: Mapping[DescribedEnum, Any]
    record: Callable[[Snapshot, Any], Any]

    @property
    def key(self) -> Any:
        """The column of the id, by which ties are broken."""
        return self.columns[0].table.c.id


@dataclass(frozen=True)
class Listing:
    """One list: a table, what it is narrowed to, its order, the page, and the parent column it hangs from, if any.

    ``signature`` is equal for lists that differ in their parent only.
    """

    of: Listed
    criteria: Sequence[ColumnElement[bool]]
    field: DescribedEnum
    descending: bool
    page: PageArguments
    signature: Hashable
    #: the store's id, which stands in its cursors
    store: int
    parent: Any = None

    @property
    def place(self) -> str:
        """What its cursors are good for."""
        return f"{self.of.name}.{self.field.name}.{'DESC' if self.descending else 'ASC'}"

    @property
    def ordering(self) -> Ordering:
        """The order that its cursors go on in."""
        return Ordering(self.of.orders[self.field], self.of.key, self.descending)

    def position(self, argument: str) -> tuple[Any, str] | None:
        """The row that ``after`` or ``before`` points to, as (value, id)."""
        cursor: str | None = getattr(self.page, argument)
        if cursor is None:
            return None
        value, key = decode_cursor(cursor, self.place, argument, self.store)
        return _restore(value, self.ordering.column, argument), key

    def within(self) -> list[ColumnElement[bool]]:
        """The criteria, and the cursors' bounds."""
        found = list(self.criteria)
        if (after := self.position("after")) is not None:
            found.append(self.ordering.beyond(*after))
        if (before := self.position("before")) is not None:
            found.append(self.ordering.ahead_of(*before))
        return found


def _restore(value: Any, column: Any, argument: str) -> Any:
    """A cursor's value as the column takes it. Raises BadUserInput: anybody can make up a cursor."""
    type_ = column.type
    try:
        if value is None and column.nullable:
            return None
        if isinstance(type_, Instant):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        elif isinstance(type_, Ranked):
            return type_.of(value)
        elif is_long(value) if isinstance(type_, BigInteger) else isinstance(value, str):
            return value
    except (ValueError, TypeError, OverflowError):
        pass
    raise not_ours(argument)


class Connection:
    """A page of a list and what may be counted about the whole of it. Counts are read only when asked for."""

    def __init__(self, ctx: Context, listing: Listing, rows: Sequence[Any], key: str, snapshot: Snapshot) -> None:
        self._ctx, self._listing, self._key = ctx, listing, key
        page = listing.page
        more = len(rows) > page.size
        rows = rows[: page.size]
        if page.backwards:
            rows = rows[::-1]
        self.nodes = [listing.of.record(snapshot, row) for row in rows]
        names = [column.name for column in listing.of.columns]
        at = names.index(listing.ordering.column.name)
        self.edges = [
            Edge(encode_cursor(listing.place, row[at], node.id, listing.store), node)
            for row, node in zip(rows, self.nodes, strict=True)
        ]
        # the side that was not read: a cursor or an offset there means that something lies beyond it
        behind = bool(page.before) if page.backwards else bool(page.after or page.offset)
        self.page_info = PageInfo(
            has_next_page=behind if page.backwards else more,
            has_previous_page=more if page.backwards else behind,
            start_cursor=self.edges[0].cursor if self.edges else None,
            end_cursor=self.edges[-1].cursor if self.edges else None,
        )

    async def total_count(self) -> int:
        """Of the whole list, as filtered."""
        return await self._count("total", self._listing.criteria)

    async def total_pages(self) -> int:
        """Pages of this size; 0 when the list is empty."""
        return -(-await self.total_count() // self._listing.page.size)

    async def current_page(self) -> int:
        """Counted from the start in pages of this size: where it begins, or ends when it was read backwards."""
        page, listing = self._listing.page, self._listing
        if page.offset is not None:
            return page.offset // page.size + 1
        if page.backwards:
            before = listing.position("before")
            ahead = before and [*listing.criteria, listing.ordering.ahead_of(*before)]
            end = await (self._count(("ahead", page.before), ahead) if ahead else self.total_count())
            return max(1, -(-end // page.size))
        after = listing.position("after")
        if after is None:
            return 1
        behind = await self._count(("beyond", page.after), [*listing.criteria, listing.ordering.beyond(*after)])
        start = await self.total_count() - behind
        return max(1, min(start // page.size + 1, await self.total_pages()))

    async def count_by(self, field: DescribedEnum) -> list[FacetCount]:
        """Rows of the whole list per value of ``field``, most first."""
        listing = self._listing
        column = listing.of.facets[field]
        snapshot = await self._ctx.snapshot()

        async def counts(keys: list[Any]) -> list[list[FacetCount]]:
            grouped: dict[Any, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
            parent = [] if listing.parent is None else [listing.parent.label("parent_key")]
            rows = select(column.label("value"), *parent).where(*listing.criteria)
            by = list(_for_parents(rows, listing, keys).subquery().c)
            for count, value, *key in await snapshot.fetch(select(func.count(), *by).group_by(*by)):
                grouped[key[0] if key else ROOT][_facet_value(field, value, snapshot)] += count
            return [_most_first(grouped[key]) for key in keys]

        name = (listing.of.name, "facet", field, listing.signature)
        found: list[FacetCount] = await self._ctx.loader(name, counts).load(self._key)
        return found

    async def _count(self, what: Hashable, criteria: Sequence[ColumnElement[bool]]) -> int:
        listing = self._listing
        snapshot = await self._ctx.snapshot()

        async def counts(keys: list[Any]) -> list[int]:
            parent = [] if listing.parent is None else [listing.parent]
            statement = select(func.count(), *parent).where(*criteria).group_by(*parent)
            found = {
                key[0] if key else ROOT: n for n, *key in await snapshot.fetch(_for_parents(statement, listing, keys))
            }
            return [found.get(key, 0) for key in keys]

        found: int = await self._ctx.loader((listing.of.name, "count", what, listing.signature), counts).load(self._key)
        return found


async def connection(ctx: Context, listing: Listing, key: str = ROOT) -> Connection:
    """The page of ``listing`` under the parent ``key``. Raises BadUserInput for arguments that make no sense."""
    listing.page.check()
    listing.within()  # a bad cursor is refused before anything is read
    snapshot = await ctx.snapshot()
    if listing.parent is None:
        rows = await snapshot.fetch(_page_statement(listing))
        ctx.budget.spend_rows(min(len(rows), listing.page.size))
        return Connection(ctx, listing, rows, key, snapshot)

    async def pages(keys: list[Any]) -> list[list[Any]]:
        found, most = defaultdict(list), ctx.budget.most_rows
        rows = await snapshot.fetch(_pages_statement(listing, keys).limit(most + 1))
        if len(rows) > most:
            ctx.budget.spend_rows(len(rows))
        for row in rows:
            found[row[-2]].append(row)
        return [found[key] for key in keys]

    rows = await ctx.loader((listing.of.name, "page", listing.page, listing.signature), pages).load(key)
    ctx.budget.spend_rows(min(len(rows), listing.page.size))
    await asyncio.sleep(0)
    ctx.budget.check()  # all lists under these parents are counted before one of them is made
    return Connection(ctx, listing, rows, key, snapshot)


def _page_statement(listing: Listing) -> Select[Any]:
    page = listing.page
    statement = select(*listing.of.columns).where(*listing.within())
    statement = statement.order_by(*listing.ordering.clauses(backwards=page.backwards))
    return statement.limit(page.size + 1).offset(page.offset or 0)


def _pages_statement(listing: Listing, keys: list[Any]) -> Select[Any]:
    """The same page under each of the parents: columns, the parent's key, the place on the page."""
    page = listing.page
    place = (
        func.row_number()
        .over(partition_by=listing.parent, order_by=listing.ordering.clauses(backwards=page.backwards))
        .label("place")
    )
    rows = select(*listing.of.columns, listing.parent.label("parent_key"), place)
    ranked = _for_parents(rows.where(*listing.within()), listing, keys).subquery()
    start = page.offset or 0
    wanted = ranked.c.place.between(start + 1, start + page.size + 1)
    return select(ranked).where(wanted).order_by(ranked.c.parent_key, ranked.c.place)


def _for_parents(statement: Select[Any], listing: Listing, keys: list[Any]) -> Select[Any]:
    return statement if listing.parent is None else statement.where(listing.parent.in_(keys))


def _facet_value(field: DescribedEnum, value: Any, snapshot: Snapshot) -> str | None:
    if field.name in ("SYSTEM", "KIND"):
        system = snapshot.systems[value]
        return system.name if field.name == "SYSTEM" else system.kind
    return value.name if isinstance(value, DescribedEnum) else value


def _most_first(counts: Mapping[str | None, int]) -> list[FacetCount]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    return [FacetCount(value, count) for value, count in ranked]
