"""The whole connector of one DFSP.

Python programs use this class by `async with Connector(config, backend) as c: await c.pay(order)`. Programs without
asyncio use `kitovu_connector.sync.Connector`.
"""

import asyncio
import errno
import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog
from aiohttp import web

from fspiop.bodies.common import PartyIdType
from kitovu_connector import alias_registrations, key_files, logs, party_identifiers, sent_request_ids_upgrade, tls
from kitovu_connector.alias_registrations import AliasResult, CustomerAlias
from kitovu_connector.aliases import Aliases
from kitovu_connector.answering_bulk_quotes import BulkTerms
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.backend import Backend
from kitovu_connector.bulk_payee import BulkPayee
from kitovu_connector.bulk_transactions import BulkTransactions
from kitovu_connector.callers import Callers, is_on_network
from kitovu_connector.changed_files import ChangedFiles
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config, StartError
from kitovu_connector.conflicts import Conflict
from kitovu_connector.errors import (
    NO_ANSWER_YET,
    CallFailed,
    ConnectorError,
    InvalidRequest,
    NothingBegun,
    NotRunning,
    Unanswered,
)
from kitovu_connector.event_messages import Event, PaymentEnded, TransferEnded
from kitovu_connector.events import Events, Handler
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.front_end_conversions_and_bulks import Submissions
from kitovu_connector.fx_bulk_quote_and_otp_callbacks import AgreementCallbacks
from kitovu_connector.fxp import Fxp
from kitovu_connector.group_commit import Database
from kitovu_connector.health import Health
from kitovu_connector.hub_api import HubApi
from kitovu_connector.idle_incoming_connections import IdleConnections
from kitovu_connector.inbound import Inbound
from kitovu_connector.inbound_party_messages import PartyMessages
from kitovu_connector.inbound_payment_messages import PaymentMessages
from kitovu_connector.instances import Continued, Instances
from kitovu_connector.known_keys import KnownKeys
from kitovu_connector.lookups import LookupFailed, Lookups
from kitovu_connector.metrics import Metrics
from kitovu_connector.orders_and_payments import Order, Payment, payment_of, stored_order
from kitovu_connector.outbound import Outbound
from kitovu_connector.outbound_conversion_list import OutboundConversions
from kitovu_connector.outbound_positions_and_statement import OutboundHub
from kitovu_connector.outbound_reads import OutboundLists
from kitovu_connector.outbound_request_to_pay_routes import OutboundRequests
from kitovu_connector.payee import Payee
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.payment_states import State
from kitovu_connector.received_messages import ReceivedMessages
from kitovu_connector.reference_api.application import HasCalls, application
from kitovu_connector.reference_api.bulk_transactions import BulkTransactionCalls
from kitovu_connector.reference_api.bulks import Bulks
from kitovu_connector.reference_api.lookups_quotes_and_accounts import Queries
from kitovu_connector.reference_api.requests_to_pay import RequestCalls
from kitovu_connector.reference_api.shown_messages import ShownMessages
from kitovu_connector.reference_api.transfers import Transfers
from kitovu_connector.relay import Relay
from kitovu_connector.requests_to_pay import RequestsToPay
from kitovu_connector.sqlite_state import SqliteDatabase
from kitovu_connector.transaction_states import TransactionStates

log = structlog.get_logger(__name__)

_PAGE = 100


class _Closed(Protocol):
    async def close(self) -> None: ...


class _Continued(_Closed, Continued, Protocol):
    """One part of the connector. The connector calls `resume` when it starts, and `close` when it stops."""


class Connector:
    """Starts the server for the hub and the server for the core, and continues all payments that an earlier run left
    unfinished.

    Raises ConfigError or StartError if the connector cannot start. If this method raises an error, no server and no
    file stays open.
    """

    def __init__(self, config: Config, backend: Backend) -> None:
        self._config, self._backend = config, backend
        self._handlers: list[Handler] = []
        self._opened = AsyncExitStack()
        self._is_running = False

    async def __aenter__(self) -> "Connector":
        try:
            await self._start()
        except ConnectorError:
            self._is_running = False
            raise
        except Exception as error:
            self._is_running = False
            log.error("start_failed", error=logs.trace_of(error))
            raise StartError(f"the connector cannot start: {type(error).__name__}: {error}") from error
        return self

    async def _start(self) -> None:
        config = self._config
        key_files.check_files(config)
        async with AsyncExitStack() as opened:
            self._store = Store(await _opened_state(config))
            opened.push_async_callback(self._store.close)
            await sent_request_ids_upgrade.claim_all(self._store.database)
            self._events = Events(config, self._store, self._handlers)
            relay = Relay(self._store.database) if self._store.is_shared else None
            if relay is not None:
                await relay.start()
            self._hub = await opened.enter_async_context(HubClient(config))
            self._payer = Payer(config, self._store, self._hub)
            self._parties = Parties(config, self._hub, self._backend)
            self._transactions = TransactionStates(config, self._store, self._hub)
            self._payee = Payee(config, self._store, self._hub, self._backend, self._parties, self._transactions)
            self._aliases = Aliases(config, self._hub)
            self._lookups = Lookups(self._hub, self._payer.policy)
            self._keys = KnownKeys(config, self._hub)
            self._exchanges = Exchanges(self._hub, config.hub_id, seconds=config.agree_s, again_s=config.ask_again_s)
            self._requests = RequestsToPay(
                config, self._store, self._hub, self._backend, self._parties, self._lookups, self._exchanges
            )
            self._bulk_terms = BulkTerms(config, self._store, self._hub, self._backend, self._parties)
            self._bulk_payee = BulkPayee(config, self._store, self._hub, self._backend, self._payee)
            self._fxp = Fxp(config, self._store, self._hub, self._backend)
            self._submissions = Submissions(config, self._store, self._hub, self._payer, self._bulk_payee, self._fxp)
            party_messages = PartyMessages(
                config.dfsp, self._payer, self._parties, self._aliases, self._lookups, self._exchanges
            )
            self._received = received = ReceivedMessages() if config.test_api else None
            self._inbound = Inbound(
                config,
                self._keys,
                party_messages,
                [
                    PaymentMessages(config, self._store, self._hub.clock, self._payer, self._payee, self._exchanges),
                    AgreementCallbacks(self._payer, self._exchanges),
                    self._requests,
                    self._bulk_terms,
                    self._bulk_payee,
                    self._fxp,
                    self._submissions,
                    self._transactions,
                ],
                relay,
                received,
            )
            callers = Callers(config)
            outbound = Outbound(config, self._store, self._payer, self._aliases, callers).application()
            self._health = Health(config, self._hub, self._backend, self._store.database)
            metrics = Metrics(config, self._store, self._hub)
            OutboundLists(self._store, self._lookups, self._health, metrics).add_to(outbound)
            OutboundRequests(self._store, self._requests).add_to(outbound)
            OutboundConversions(self._store).add_to(outbound)
            OutboundHub(HubApi(self._hub)).add_to(outbound)
            self._bulk_transactions = BulkTransactions(config, self._store, self._payer, self._backend)
            files, inward = ChangedFiles(), tls.inward(config)
            self._files = files
            files.watch([config.signing_key, config.client_cert, config.client_key], self._hub.use_files)
            if inward is not None:
                server_files = [config.inbound_cert, config.inbound_key]
                files.watch(server_files, partial(tls.use_server_certificate, inward, config))
            for_cores = tls.for_core(config)
            if for_cores is not None:
                core_files = [config.outbound_cert, config.outbound_key]
                files.watch(core_files, partial(tls.use_certificate_for_core, for_cores, config))
            files.watch([config.outbound_token_file], callers.use_file)
            continued: tuple[_Continued, ...] = (
                self._payer,
                self._payee,
                self._requests,
                self._bulk_terms,
                self._bulk_payee,
                self._fxp,
                self._submissions,
                self._bulk_transactions,
                self._events,
                self._transactions,
            )
            if relay is not None:
                instances = Instances(self._store.database, relay)
                opened.push_async_callback(instances.close)
                opened.push_async_callback(relay.close)
            closed: tuple[_Closed, ...] = (self._parties, *continued, self._keys, files)
            for each in closed:
                opened.push_async_callback(each.close)
            if relay is not None:
                await instances.start(continued, self._changed_by_others())
            await self._keys.start()
            files.start()
            for_hub = await self._serve("inbound", self._inbound.application(), opened, inward)
            for_core = await self._serve("outbound", outbound, opened, for_cores)
            if config.reference_api:
                front_end = application(self._reference_parts(), self._backend, callers)
                await self._serve("reference", front_end, opened, for_cores)
            for_tests = None
            if received is not None:
                shown = ShownMessages(received).application(callers)
                for_tests = await self._serve("test", shown, opened, for_cores, host="outbound_host")
            self._is_running = True  # a handler of an event may already call the connector
            for part in continued:
                await part.resume()
            self._opened = opened.pop_all()
        log.info(
            "started",
            dfsp=config.dfsp,
            hub=config.hub_url,
            core=config.backend_url or None,
            listens_for_hub_at=for_hub + config.inbound_prefix,
            listens_for_core_at=for_core,
            shows_messages_to_tests_at=for_tests,
        )
        if for_tests is not None:
            advice = "set test_api only for tests: it shows the data of customers"
            log.warning("test_api_is_on", test_port=config.test_port, advice=advice)
        if not (config.verify_jws or config.is_pinned):
            log.warning("callers_are_not_proven", inbound_port=config.inbound_port)
        if is_on_network(config) and not (config.outbound_token_file or config.outbound_client_ca):
            advice = "set outbound_token_file or outbound_client_ca"
            log.warning("core_is_not_proven", outbound_port=config.outbound_port, advice=advice)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_running = False
        await self._opened.aclose()

    def _changed_by_others(self) -> dict[str, Callable[[str], None]]:
        """Returns a function for each topic. The function handles a record that another instance has changed."""
        return {
            "payment": self._payer.changed,
            "incoming": self._payee.changed,
            "request_to_pay_made": self._requests.changed,
            "conversion_received": self._fxp.changed,
            "bulk_transaction": self._bulk_transactions.changed,
            "fxTransfers": self._submissions.changed,
            "bulkTransfers": self._submissions.changed,
        }

    def _reference_parts(self) -> list[HasCalls]:
        return [
            Transfers(self._config, self._store, self._payer, self._exchanges),
            Queries(self._config, self._lookups, self._aliases, self._exchanges),
            BulkTransactionCalls(self._config, self._bulk_transactions),
            RequestCalls(self._config, self._store, self._payer, self._requests),
            Bulks(self._config, self._store, self._hub.clock, self._lookups, self._exchanges, self._submissions),
        ]

    def on_event(self, handler: Handler) -> Handler:
        """Registers `handler` for every event, including the events that an earlier run has not delivered. Call this
        method before the connector starts.

        The handler can receive an event twice. If the handler raises an error, the connector later calls the handler
        again with the same event.
        """
        self._handlers.append(handler)
        return handler

    def on_payment_ended(self, handler: Callable[[PaymentEnded], Awaitable[None]]) -> None:
        """Registers `handler` for the end of every outgoing payment. All rules of `on_event` apply."""

        async def only_payments(event: Event) -> None:
            if isinstance(event, PaymentEnded):
                await handler(event)

        self.on_event(only_payments)

    def on_transfer_ended(self, handler: Callable[[TransferEnded], Awaitable[None]]) -> None:
        """Registers `handler` for the end of every transfer to a customer. All rules of `on_event` apply."""

        async def only_transfers(event: Event) -> None:
            if isinstance(event, TransferEnded):
                await handler(event)

        self.on_event(only_transfers)

    async def pay(self, order: Order) -> Payment:
        """Makes a payment. Returns the payment when it has ended, or at the latest after `answer_s`.

        A repeated order does not begin a second payment. Raises InvalidRequest, AmountError, Conflict, NotRunning or
        CallFailed.
        """
        with self._errors():
            await self._begin(order, needs_confirmation=False)
            await self._payer.wait_for_end(order.home_id, self._config.answer_s)
            return await self._shown(order.home_id)

    async def lookup(self, id_type: PartyIdType, id_value: str, sub_id: str | None = None) -> PartyRef:
        """Returns the payee DFSP's description of the payee with this alias. Begins no payment.

        Raises LookupFailed if the payee does not exist, and Unanswered if the payee's DFSP does not answer. Raises
        InvalidRequest, NotRunning or CallFailed.
        """
        with self._errors():
            alias = alias_registrations.checked(CustomerAlias(id_type, id_value, sub_id))
            party_identifiers.check("", *alias[1:])
            try:
                return await self._lookups.find(PartyRef(id_type=id_type, id_value=id_value, sub_id=sub_id))
            except LookupFailed as error:
                if error.code in NO_ANSWER_YET:
                    raise Unanswered(NO_ANSWER_YET[error.code], error.text) from None
                raise

    async def quote(self, order: Order) -> Payment:
        """Begins a payment that waits for `confirm`.

        Returns the payment in the state AGREED, with payee, amounts, fee and `terms_expire_at`.

        The state is ABORTED if there is no payee, or if there are no terms. Raises the same errors as `pay`.
        """
        with self._errors():
            await self._begin(order, needs_confirmation=True)
            await self._payer.wait_for_terms(order.home_id, self._config.answer_s)
            return await self._shown(order.home_id)

    async def confirm(self, home_id: str, otp: str | None = None) -> Payment:
        """Pays on the agreed terms. Returns the payment when it has ended, like `pay`, or when it waits for the core.

        A payment in the state AUTHORIZED has a one-time password that the payer entered. If this password is right, the
        core must pass the password as `otp`.

        Raises NoSuchPayment, NoTermsYet, PasswordRefused, NotRunning or CallFailed.
        """
        with self._errors():
            await self._payer.confirm(home_id, otp)
            await self._payer.wait_for_core(home_id, self._config.answer_s)
            return await self._shown(home_id)

    async def cancel(self, home_id: str) -> Payment:
        """Ends a payment whose transfer was not sent.

        Raises AlreadySent if the transfer was already sent: the payment can still be made. Raises NoSuchPayment,
        NotRunning or CallFailed.
        """
        with self._errors():
            await self._payer.cancel(home_id)
            return await self._shown(home_id)

    async def payment(self, home_id: str) -> Payment | None:
        """Returns the payment to which the core has given this id, in its present state. Returns None if no such
        payment exists. Raises NotRunning or CallFailed.
        """
        with self._errors():
            found = await self._store.payment_and_time(home_id)
            return None if found is None else payment_of(*found)

    async def payments(
        self, *, since: datetime | float | None = None, state: State | str | None = None
    ) -> AsyncIterator[Payment]:
        """Yields the payments that have changed at or after `since`, in the order of their last change.

        `since` is a datetime with a time zone, or seconds since 1970, such as `changed_at` of a payment. Reads the
        payments page by page. A payment that changes meanwhile can come again. Raises InvalidRequest, NotRunning or
        CallFailed.
        """
        async for page in self.payment_pages(since=since, state=state):
            for payment in page:
                yield payment

    async def payment_pages(
        self, *, since: datetime | float | None = None, state: State | str | None = None
    ) -> AsyncIterator[list[Payment]]:
        """Yields the payments of `payments` in lists of at most 100."""
        with self._errors():
            moment, wanted, home_id = _moment_of(since), _state_of_payments(state), ""
        while True:
            with self._errors():
                page = await self._store.payments(moment, home_id, state=wanted, limit=_PAGE)
            yield [payment_of(payment, changed_at) for changed_at, payment in page]
            if len(page) < _PAGE:
                return
            moment, home_id = page[-1][0], page[-1][1].order.home_id

    async def register_alias(
        self, id_type: PartyIdType, id_value: str, sub_id: str | None = None, *, currency: str | None = None
    ) -> None:
        """Registers a customer's alias at the hub. Returns when the hub has registered the alias.

        A repeated registration changes nothing. Raises AliasRefused if the hub refuses the alias, and Unanswered if the
        hub does not answer in time. Raises InvalidRequest, NotRunning or CallFailed.
        """
        await self._register(CustomerAlias(id_type, id_value, sub_id, currency))

    async def register_aliases(self, aliases: Iterable[CustomerAlias]) -> list[AliasResult]:
        """Registers many aliases, a few at the same time. Returns one result for each alias, in the order of the
        aliases. Each result has the error that `register_alias` would raise.
        """
        return await alias_registrations.register_all(aliases, self._register)

    async def _register(self, alias: CustomerAlias) -> None:
        with self._errors():
            await self._aliases.register(alias_registrations.checked(alias), alias.currency)

    async def withdraw_alias(self, id_type: PartyIdType, id_value: str, sub_id: str | None = None) -> None:
        """Withdraws a customer's alias. Returns when the hub has removed the alias. Raises the same errors as
        `register_alias`.
        """
        with self._errors():
            await self._aliases.withdraw(alias_registrations.checked(CustomerAlias(id_type, id_value, sub_id)))

    async def _begin(self, order: Order, *, needs_confirmation: bool) -> None:
        """Begins a payment. If the order is refused, no payment has its id: an earlier payment with this id causes
        Conflict.
        """
        try:
            await self._payer.send(stored_order(order, needs_confirmation=needs_confirmation))
        except NothingBegun:
            home_id = getattr(order, "home_id", None)
            if isinstance(home_id, str) and await self._store.payment(home_id) is not None:
                raise Conflict from None
            raise

    async def _shown(self, home_id: str) -> Payment:
        found = await self._store.payment_and_time(home_id)
        assert found is not None
        return payment_of(*found)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Ensures that a call raises only errors of `kitovu_connector.errors`."""
        if not self._is_running:
            raise NotRunning("the connector is not started")
        try:
            yield
        except ConnectorError:
            raise
        except Exception as error:
            if not self._is_running:
                raise NotRunning("the connector was stopped during the call") from error
            log.error("call_failed", error=logs.trace_of(error))
            raise CallFailed(f"the call failed: {type(error).__name__}; the log has the cause") from error

    async def _serve(
        self,
        name: str,
        app: web.Application,
        opened: AsyncExitStack,
        context: ssl.SSLContext | None = None,
        *,
        host: str = "",
    ) -> str:
        """Starts a server. Returns its URL. `host` is the name of the setting with the server's address."""
        host_setting = host or f"{name}_host"
        address, port = getattr(self._config, host_setting), getattr(self._config, f"{name}_port")
        idle = IdleConnections()
        app.middlewares.insert(0, idle.middleware)
        # The connector refuses compressed bodies, so aiohttp must not unpack a body before this refusal.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2, auto_decompress=False)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        opened.push_async_callback(idle.close)
        assert runner.server is not None
        idle.start(runner.server)
        try:
            await web.TCPSite(runner, address, port, reuse_address=True, ssl_context=context).start()
        except OSError as error:
            reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
            raise StartError(f"{host_setting} and {name}_port: {address}:{port} cannot be used: {reason}") from None
        found, bound_port = runner.addresses[0][:2]
        shown = f"[{found}]" if ":" in found else found
        return f"{'https' if context else 'http'}://{shown}:{bound_port}"


def _moment_of(since: datetime | float | None) -> float:
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise InvalidRequest("since: must have a time zone, such as datetime(2026, 1, 31, tzinfo=UTC)")
        return since.timestamp()
    if since is not None and (isinstance(since, bool) or not isinstance(since, int | float)):
        raise InvalidRequest("since: must be a datetime with a time zone, or seconds since 1970")
    return float(since or 0.0)


def _state_of_payments(state: State | str | None) -> State | None:
    if state is None:
        return None
    try:
        return State(state)
    except ValueError:
        raise InvalidRequest(f"state: must be one of {', '.join(State)}") from None


async def _opened_state(config: Config) -> Database:
    """Opens the connector's database in a separate thread, because an upgrade of the tables can take minutes."""
    opening = asyncio.create_task(asyncio.to_thread(_state_of, config))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # the method must wait until the database is open; otherwise the database would stay locked
        await asyncio.wait([opening])
        if opening.exception() is None:
            opening.result().disconnect()
        raise


def _state_of(config: Config) -> Database:
    """Returns the database that contains the connector's state. Raises StartError if the database cannot be used."""
    if isinstance(config.state, Path):
        return SqliteDatabase(config.state)
    try:
        from kitovu_connector.postgresql_state import PostgresqlDatabase
    except ImportError:
        needed = "pip install 'kitovu-connector[postgresql]'"
        raise StartError(f"state: a state in PostgreSQL needs a package that is missing: {needed}") from None
    # All instances must have the same secret. An instance with a different secret would send wrong fulfilments.
    secret = hmac.digest(config.ilp_key, b"state", "sha256").hex()
    return PostgresqlDatabase(config.state, {"dfsp": config.dfsp, "ilp_secret": secret})
