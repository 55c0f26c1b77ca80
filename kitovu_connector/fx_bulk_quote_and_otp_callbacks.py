"""Receives the hub's callbacks about conversions, bulk quotes and one-time passwords.

Passes each callback to the payment or function that waits for it.
"""

from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.bulk_quotes import BulkQuotePut
from fspiop.bodies.common import ErrorInformation
from fspiop.bodies.fx_quotes import FxQuotePut
from fspiop.bodies.services import ServicesFxpPut
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.payer import Payer
from kitovu_connector.payment_events_and_actions import (
    AgreementFailed,
    Ask,
    AuthorizationGiven,
    ConversionGiven,
    Event,
    ProvidersFound,
)
from kitovu_connector.payment_record import Payment


class AgreementCallbacks:
    """Accepts a callback only from two senders: the hub, and the DFSP that received the request."""

    def __init__(self, payer: Payer, exchanges: Exchanges) -> None:
        self._payer, self._exchanges = payer, exchanges

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        return [
            ("PUT", "/services/FXP", self._all_providers_told),
            ("PUT", "/services/FXP/error", self._all_providers_failed),
            ("PUT", "/services/FXP/{source}/{target}", self._providers_told),
            ("PUT", "/services/FXP/{source}/{target}/error", self._providers_failed),
            ("PUT", "/fxQuotes/{id}", self._conversion_given),
            ("PUT", "/fxQuotes/{id}/error", self._conversion_failed),
            ("PUT", "/authorizations/{id}", self._authorization_given),
            ("PUT", "/authorizations/{id}/error", self._authorization_failed),
            ("PUT", "/bulkQuotes/{id}", self._bulk_quote_given),
            ("PUT", "/bulkQuotes/{id}/error", self._bulk_quote_failed),
        ]

    async def _all_providers_told(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("services", "FXP"), message.reply(message.read(ServicesFxpPut))))
        return 200

    async def _all_providers_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("services", "FXP"), message.reply(message.error)))
        return 200

    async def _providers_told(self, message: Message) -> int:
        message.check_is_from_hub()
        body = message.read(ServicesFxpPut)
        message.met(self._exchanges.told(("services", _pair(message)), message.reply(body)))
        while payment := self._payer.awaiting(Ask.PROVIDERS, _pair(message)):
            message.met(True)
            await self._payer.move(payment, ProvidersFound(tuple(body.providers)))
        return 200

    async def _providers_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        error = message.error
        message.met(self._exchanges.told(("services", _pair(message)), message.reply(error)))
        while payment := self._payer.awaiting(Ask.PROVIDERS, _pair(message)):
            message.met(True)
            await self._payer.move(payment, _failed(Ask.PROVIDERS, error))
        return 200

    async def _conversion_given(self, message: Message) -> int:
        body = message.read(FxQuotePut)
        message.met(self._exchanges.told(("fxQuotes", message.id), message.reply(body)))
        await self._move(message, Ask.FX_QUOTE, ConversionGiven(body))
        return 200

    async def _conversion_failed(self, message: Message) -> int:
        error = message.error
        message.met(self._exchanges.told(("fxQuotes", message.id), message.reply(error)))
        await self._move(message, Ask.FX_QUOTE, _failed(Ask.FX_QUOTE, error))
        return 200

    async def _authorization_given(self, message: Message) -> int:
        await self._move(message, Ask.AUTHORIZATION, AuthorizationGiven(message.read(AuthorizationPut)))
        return 200

    async def _authorization_failed(self, message: Message) -> int:
        await self._move(message, Ask.AUTHORIZATION, _failed(Ask.AUTHORIZATION, message.error))
        return 200

    async def _bulk_quote_given(self, message: Message) -> int:
        message.met(self._exchanges.told(("bulkQuotes", message.id), message.reply(message.read(BulkQuotePut))))
        return 200

    async def _bulk_quote_failed(self, message: Message) -> int:
        message.met(self._exchanges.told(("bulkQuotes", message.id), message.reply(message.error)))
        return 200

    async def _move(self, message: Message, ask: Ask, event: Event) -> None:
        payment = self._payer.awaiting(ask, message.id)
        message.met(payment is not None)
        if payment is not None:
            message.check_sender(_answerer(payment, ask))
            await self._payer.move(payment, event)


def _pair(message: Message) -> str:
    return f"{message.names['source']}/{message.names['target']}"


def _answerer(payment: Payment, ask: Ask) -> str | None:
    if ask is Ask.AUTHORIZATION:
        return payment.payee.fsp_id if payment.payee is not None else None
    return conversion.provider(payment)


def _failed(ask: Ask, error: ErrorInformation) -> AgreementFailed:
    return AgreementFailed(ask, str(error.error_code), error.error_description)
