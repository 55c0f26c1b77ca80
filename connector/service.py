"""One DFSP's whole connector. In process: `async with Connector(config, backend) as c: await c.send(order)`."""

import ssl
from types import TracebackType

import structlog
from aiohttp import web

from connector import tls
from connector.aliases import Aliases
from connector.backend import Backend
from connector.client import HubClient
from connector.config import Config
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
    """Starts both servers and continues with everything that an earlier run left unfinished."""

    def __init__(self, config: Config, backend: Backend) -> None:
        self._config = config
        self._store = Store(config.state)
        self._hub = HubClient(config)
        self._payer = Payer(config, self._store, self._hub)
        self._payee = Payee(config, self._store, self._hub, backend)
        self._aliases = Aliases(config, self._hub)
        parties = Parties(config, self._hub, backend)
        self._inbound = Inbound(config, self._store, self._hub, self._payer, self._payee, parties, self._aliases)
        self._outbound = Outbound(config, self._store, self._payer, self._aliases)
        self._runners: list[web.AppRunner] = []

    async def __aenter__(self) -> "Connector":
        if not (self._config.verify_jws or self._config.is_pinned):
            log.warning("callers_are_not_proven", inbound_port=self._config.inbound_port)
        await self._hub.__aenter__()
        await self._serve(
            self._inbound.application(),
            self._config.inbound_host,
            self._config.inbound_port,
            tls.inward(self._config),
        )
        await self._serve(self._outbound.application(), self._config.outbound_host, self._config.outbound_port)
        await self._payer.resume()
        await self._payee.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for runner in self._runners:
            await runner.cleanup()
        await self._payer.close()
        await self._payee.close()
        await self._hub.__aexit__(kind, error, trace)
        await self._store.close()

    async def send(self, order: Order) -> Payment:
        """Makes a payment; returns it when it has ended, or in its state after `answer_s` seconds."""
        payment = await self._payer.send(order)
        return await self._payer.wait_for_end(order.home_id, self._config.answer_s) or payment

    async def _serve(self, app: web.Application, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, host, port, reuse_address=True, ssl_context=context).start()
        self._runners.append(runner)
