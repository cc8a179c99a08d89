"""Parsed and checked documents are kept: small operations spend most of their time there."""

from collections.abc import Iterator
from contextlib import suppress

from graphql import GraphQLError
from strawberry.extensions import MaxTokensLimiter, ParserCache, ValidationCache

KEPT = 500
#: Longer documents are parsed each time, so that nobody fills the memory with them.
LONGEST = 20_000
#: Tokens of a document; some 60 kB of them.
MOST_TOKENS = 15_000


class DocumentCache(ParserCache):
    """Strawberry's ParserCache; a syntax error is left to the parser proper, which reports it on every transport."""

    def __init__(self) -> None:
        super().__init__(maxsize=KEPT)

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if context.query and len(context.query) <= LONGEST:
            with suppress(GraphQLError):
                context.graphql_document = self.cached_parse_document(context.query, **context.parse_options)
        yield


class VerdictCache(ValidationCache):
    """Strawberry's ValidationCache, for documents that are kept."""

    def __init__(self) -> None:
        super().__init__(maxsize=KEPT)

    def on_validate(self) -> Iterator[None]:
        query = self.execution_context.query
        if query and len(query) <= LONGEST:
            yield from super().on_validate()
        else:
            yield


class TokenLimit(MaxTokensLimiter):
    """Strawberry's MaxTokensLimiter: a document that would take seconds to check is not read to its end."""

    def __init__(self) -> None:
        super().__init__(max_token_count=MOST_TOKENS)
