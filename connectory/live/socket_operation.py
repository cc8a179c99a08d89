"""One operation on a WebSocket, and where the results of a subscription go."""

import asyncio
import contextlib
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from graphql import FormattedExecutionResult, GraphQLFormattedError, OperationType

from connectory.execution import error_presentation
from connectory.execution.admission import Admission
from connectory.execution.answer import encode
from connectory.execution.bad_request import BadRequest
from connectory.execution.execution import Executed, Execution
from connectory.execution.operation import Operation
from connectory.execution.prepared import Prepared, Refused
from connectory.live.flow import Flow
from connectory.live.live import Live
from connectory.live.sink import TooSlow
from connectory.live.subscriber import Subscriber
from connectory.observability.metrics import Metrics, OperationOutcome, Traffic
from resolvers.context import Viewer


@dataclass(frozen=True, slots=True)
class SocketServices:
    """What the operations on all WebSockets of one application share."""

    execution: Execution
    admission: Admission
    live: Live
    metrics: Metrics
    #: of one WebSocket at once
    most_operations: int
    #: in the JSON of one message
    most_values: int

    @property
    def traffic(self) -> Traffic:
        """What is counted of WebSockets."""
        return self.metrics.sockets


class OpenSocket(Hashable, Protocol):
    """What an operation needs of the connection that it was sent on."""

    @property
    def services(self) -> SocketServices: ...

    @property
    def viewer(self) -> Viewer: ...

    @property
    def client(self) -> str | None:
        """Its address."""

    @property
    def flow(self) -> Flow: ...

    async def write(self, text: bytes) -> None:
        """Send one message. Never waits; once the client has gone it does nothing."""

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Send several messages at once, in order."""

    def forget(self, operation: "SocketOperation") -> None:
        """It has ended."""


class SocketOperation:
    """While a subscription waits for something to happen, this is all there is of it: no task, no timer, no queue."""

    __slots__ = ("_connection", "_held", "_prefix", "id")

    def __init__(self, connection: OpenSocket, id: str) -> None:
        self.id = id
        self._connection = connection
        self._prefix = b'{"id":' + json.dumps(id).encode() + b',"type":"next","payload":'
        #: what has to end with it
        self._held: asyncio.Task[None] | Subscriber | None = None

    def begin(self, operation: Operation) -> None:
        """Run it in a task of its own; whatever comes of it is sent as messages of its id."""
        self._held = asyncio.create_task(self._run(operation), name="operation")

    async def _run(self, operation: Operation) -> None:
        """Until it has its result, or its subscription has begun."""
        services = self._connection.services
        try:
            async with services.admission.admit(operation, self._connection.client, self._connection) as prepared:
                if prepared.type is OperationType.SUBSCRIPTION:
                    self._held = await services.live.subscribe(prepared, self, self._connection.viewer)
                    return
                executed = await self._execute(prepared)
            with contextlib.suppress(TooSlow):
                await self.drained()
                await self._send_only(executed.body)
        except Refused as refused:
            await self._refuse(refused)
        except BadRequest as refused:
            services.metrics.count(OperationOutcome.REJECTED)
            await self._fail([refused.error])
        except Exception as error:
            await self._send_only({"errors": [error_presentation.failure(error, path="subscription")]})

    async def _refuse(self, refused: Refused) -> None:
        """A document at fault is told as an error of the protocol, what fails later as a result."""
        if refused.before_execution:
            self._connection.services.metrics.count(OperationOutcome.REJECTED)
            await self._fail(refused.body()["errors"])
        else:
            await self._send_only(refused.body())

    async def _execute(self, prepared: Prepared) -> Executed:
        services = self._connection.services
        with services.metrics.operation() as measured:
            executed = await services.execution.run(prepared, self._connection.viewer)
            measured.outcome = executed.outcome
        return executed

    async def refuse_one_too_many(self) -> None:
        """Send the error TOO_MANY_SUBSCRIPTIONS."""
        most = self._connection.services.most_operations
        message = (
            f"This WebSocket carries {most:,} operations already. Complete some, or raise subscriptions_per_socket "
            "under [server] in the configuration."
        )
        await self._fail([{"message": message, "extensions": {"code": "TOO_MANY_SUBSCRIPTIONS"}}])

    async def _fail(self, errors: list[GraphQLFormattedError]) -> None:
        self._connection.forget(self)
        await self._connection.write(encode({"id": self.id, "type": "error", "payload": errors}))

    async def _send_only(self, body: FormattedExecutionResult) -> None:
        await self.send(encode(body), "")
        await self.complete()

    def leave(self) -> None:
        """End it without a word."""
        if isinstance(self._held, Subscriber):
            self._held.leave()
        elif self._held is not None:
            self._held.cancel()

    # ---- the sink

    @property
    def is_ready(self) -> bool:
        return self._connection.flow.is_ready

    async def drained(self) -> None:
        await self._connection.flow.drained()

    async def send(self, body: bytes, cursor: str) -> None:
        self._connection.services.traffic.results += 1
        await self._connection.write(self._prefix + body + b"}")

    async def send_all(self, results: Sequence[tuple[bytes, str]]) -> None:
        self._connection.services.traffic.results += len(results)
        self._connection.write_all([self._prefix + body + b"}" for body, _ in results])

    async def complete(self) -> None:
        self._connection.forget(self)
        await self._connection.write(encode({"id": self.id, "type": "complete"}))
