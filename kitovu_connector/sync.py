"""The connector for programs without asyncio: the same calls, the same results and the same errors.

with Connector(config, backend) as connector:
    payment = connector.pay(order)

The connector runs in a thread of its own. Any number of threads can call one connector. The core's methods and the
handlers of events are plain functions, which run in further threads.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent import futures
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from fspiop.bodies.common import PartyIdType
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from kitovu_connector import backend as asynchronous
from kitovu_connector import connector as connectors
from kitovu_connector.alias_registrations import AliasResult, CustomerAlias
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.config import Config, StartError
from kitovu_connector.core_threads import CoreThreads, ThreadedBackend
from kitovu_connector.errors import InvalidRequest, NotRunning
from kitovu_connector.event_messages import Event, PaymentEnded, TransferEnded
from kitovu_connector.fxp import ConversionEnd
from kitovu_connector.orders_and_payments import Order, Payment
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.payment_record import State

__all__ = ["Backend", "Connector", "FxBackend"]

T = TypeVar("T")
Told = TypeVar("Told", bound=Event)


class Backend(Protocol):
    """The interface of a core without asyncio. Each method follows the rules of `kitovu_connector.Backend`."""

    def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Returns the customer with this alias, or None."""

    def give_terms(self, wanted: TermsWanted) -> Terms:
        """Returns the amount and the fee, or raises Refused. Must not reserve money."""

    def reserve(self, incoming: IncomingMoney) -> None:
        """Reserves the money durably, so that the core can credit the money later, or raises Refused."""

    def commit(self, incoming: IncomingMoney) -> None:
        """Credits the customer with the amount that the core reserved under this id."""

    def release(self, transfer_id: str) -> None:
        """Releases the reservation after the hub has aborted the transfer."""


class FxBackend(Protocol):
    """The interface of an FXP's core without asyncio. Each method follows the rules of `kitovu_connector.FxBackend`."""

    def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        """Returns the terms with the source amount and the target amount, or raises Refused."""

    def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        """Reserves the target amount durably for a later payment, or raises Refused."""

    def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        """Receives the end of a conversion."""


class Connector:
    """The connector of one DFSP. Each method does the same as the method of `kitovu_connector.Connector`.

    `backend` is a core without asyncio (`Backend`), or a core with asyncio, such as HttpBackend. The connector opens
    and closes an HttpBackend itself. Each of the core's methods and each handler has at most `threads` threads, so slow
    calls of one method do not delay the other methods.

    A call of a method waits until the result is there. If the program interrupts the wait (KeyboardInterrupt), the
    payment continues.
    """

    def __init__(self, config: Config, backend: Backend | asynchronous.Backend, *, threads: int = 8) -> None:
        self._config, self._backend = config, backend
        self._threads = CoreThreads(threads)
        core = backend
        if not inspect.iscoroutinefunction(getattr(backend, "find_party", None)):
            core = cast(asynchronous.Backend, ThreadedBackend(backend, self._threads))
        self._connector = connectors.Connector(config, cast(asynchronous.Backend, core))
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # None while the connector accepts no calls
        self._is_stopped = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._ended: futures.Future[None] = futures.Future()
        self._handlers = 0

    def __enter__(self) -> "Connector":
        if self._thread is not None:
            raise StartError("a connector can start only once: make a new one")
        started: futures.Future[None] = futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="connector", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:  # no call can begin after the loop's last look at its calls
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(self._is_stopped.set)
            self._thread.join()
            self._ended.result()

    def on_event(self, handler: Callable[[Event], None]) -> None:
        """Registers `handler` for every event. Call this method before the connector starts."""
        self._connector.on_event(self._in_threads(handler))

    def on_payment_ended(self, handler: Callable[[PaymentEnded], None]) -> None:
        """Registers `handler` for the end of every outgoing payment."""
        self._connector.on_payment_ended(self._in_threads(handler))

    def on_transfer_ended(self, handler: Callable[[TransferEnded], None]) -> None:
        """Registers `handler` for the end of every transfer to a customer."""
        self._connector.on_transfer_ended(self._in_threads(handler))

    def pay(self, order: Order) -> Payment:
        """Makes a payment. Returns the payment when it has ended, or at the latest after `answer_s`."""
        return self._call(self._connector.pay(order))

    def lookup(self, id_type: PartyIdType, id_value: str, sub_id: str | None = None) -> PartyRef:
        """Returns the payee DFSP's description of the payee with this alias. Begins no payment."""
        return self._call(self._connector.lookup(id_type, id_value, sub_id))

    def quote(self, order: Order) -> Payment:
        """Begins a payment that waits for `confirm`."""
        return self._call(self._connector.quote(order))

    def confirm(self, home_id: str, otp: str | None = None) -> Payment:
        """Pays on the agreed terms."""
        return self._call(self._connector.confirm(home_id, otp))

    def cancel(self, home_id: str) -> Payment:
        """Ends a payment whose transfer was not sent."""
        return self._call(self._connector.cancel(home_id))

    def payment(self, home_id: str) -> Payment | None:
        """Returns the payment with this id, or None."""
        return self._call(self._connector.payment(home_id))

    def payments(self, *, since: datetime | float | None = None, state: State | str | None = None) -> Iterator[Payment]:
        """Yields the payments that have changed at or after `since`, in the order of their last change."""
        pages = self._connector.payment_pages(since=since, state=state)
        while (page := self._call(_next_of(pages))) is not None:
            yield from page

    def register_alias(
        self, id_type: PartyIdType, id_value: str, sub_id: str | None = None, *, currency: str | None = None
    ) -> None:
        """Registers a customer's alias at the hub."""
        self._call(self._connector.register_alias(id_type, id_value, sub_id, currency=currency))

    def register_aliases(self, aliases: Iterable[CustomerAlias]) -> list[AliasResult]:
        """Registers many aliases. Returns one result for each alias, in the order of the aliases."""
        return self._call(self._connector.register_aliases(list(aliases)))

    def withdraw_alias(self, id_type: PartyIdType, id_value: str, sub_id: str | None = None) -> None:
        """Withdraws a customer's alias."""
        self._call(self._connector.withdraw_alias(id_type, id_value, sub_id))

    def _call(self, call: Coroutine[Any, Any, T]) -> T:
        """Runs a call in the connector's thread, and waits for the result."""
        if threading.current_thread() is self._thread:  # the wait would stop the event loop that must end it
            call.close()
            raise InvalidRequest("a coroutine in the connector's event loop must not call kitovu_connector.sync")
        with self._lock:
            if self._loop is None:
                call.close()
                raise NotRunning("the connector is not started")
            result = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return result.result()
        except futures.CancelledError:
            raise NotRunning("the connector was stopped during the call") from None
        except BaseException:
            result.cancel()  # KeyboardInterrupt: nobody waits for the result any more
            raise

    def _in_threads(self, handler: Callable[[Told], None]) -> Callable[[Told], Any]:
        self._handlers += 1
        return self._threads.awaitable(f"handler-{self._handlers}", handler)

    def _run(self, started: "futures.Future[None]") -> None:
        """Runs the connector until it is stopped. At the end, `asyncio.run` cancels the calls that still wait."""
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            (self._ended if started.done() else started).set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self, started: "futures.Future[None]") -> None:
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self._threads.close, self._config.request_s)
            if isinstance(self._backend, AbstractAsyncContextManager):
                await opened.enter_async_context(self._backend)
            await opened.enter_async_context(self._connector)
            self._loop = asyncio.get_running_loop()
            started.set_result(None)
            await self._is_stopped.wait()


async def _next_of(pages: AsyncIterator[list[Payment]]) -> list[Payment] | None:
    return await anext(pages, None)
