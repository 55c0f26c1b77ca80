"""One DFSP's whole connector. In process: `async with Connector(config, backend) as c: await c.send(order)`."""

import errno
import ssl
from contextlib import AsyncExitStack
from types import TracebackType

import structlog
from aiohttp import web

from connector import key_files, tls
from connector.aliases import Aliases
from connector.backend import Backend
from connector.client import HubClient
from connector.config import Config, StartError
from connector.inbound import Inbound
from connector.outbound import Outbound
from connector.parties import Parties
from connector.payee import Payee
from connector.payer import Payer
from connector.payment_order import Order
from connector.payment_states import Payment
from connector.store import Store

log = structlog.get_logger(__name__)


class Connector:
    """Starts both servers and continues with everything that an earlier run left unfinished.

    ConfigError or StartError if it cannot start; then nothing of it stays open.
    """

    def __init__(self, config: Config, backend: Backend) -> None:
        self._config, self._backend = config, backend
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> "Connector":
        config = self._config
        key_files.check_files(config)
        async with AsyncExitStack() as opened:
            self._store = Store(config.state)
            opened.push_async_callback(self._store.close)
            self._hub = await opened.enter_async_context(HubClient(config))
            self._payer = Payer(config, self._store, self._hub)
            self._parties = Parties(config, self._hub, self._backend)
            self._payee = Payee(config, self._store, self._hub, self._backend, self._parties)
            self._aliases = Aliases(config, self._hub)
            self._inbound = Inbound(
                config, self._store, self._hub, self._payer, self._payee, self._parties, self._aliases
            )
            outbound = Outbound(config, self._store, self._payer, self._aliases, self._hub.clock)
            for part in (self._parties, self._payee, self._payer):
                opened.push_async_callback(part.close)
            await self._serve("inbound", self._inbound.application(), opened, tls.inward(config))
            await self._serve("outbound", outbound.application(), opened)
            await self._payer.resume()
            await self._payee.resume()
            self._opened = opened.pop_all()
        if not (config.verify_jws or config.is_pinned):
            log.warning("callers_are_not_proven", inbound_port=config.inbound_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def send(self, order: Order) -> Payment:
        """Makes a payment; returns it when it has ended, or in its state after `answer_s` seconds."""
        payment = await self._payer.send(order)
        return await self._payer.wait_for_end(order.home_id, self._config.answer_s) or payment

    async def _serve(
        self, name: str, app: web.Application, opened: AsyncExitStack, context: ssl.SSLContext | None = None
    ) -> None:
        host, port = getattr(self._config, f"{name}_host"), getattr(self._config, f"{name}_port")
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port, reuse_address=True, ssl_context=context).start()
        except OSError as error:
            reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
            raise StartError(f"{name}_host and {name}_port: {host}:{port} cannot be used: {reason}") from None
        log.info("listens", for_requests_of="the hub" if name == "inbound" else "the core", addresses=runner.addresses)
