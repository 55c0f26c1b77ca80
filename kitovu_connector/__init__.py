"""A DFSP's connector to an instant payments hub with the Mojaloop FSPIOP API.

async with Connector(config, backend) as connector:
    payment = await connector.pay(order)
"""

from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.errors import FspiopError
from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.backend import Backend, HttpBackend, IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.config import Config, ConfigError, StartError, load
from kitovu_connector.conflicts import Conflict
from kitovu_connector.connector import Connector
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.event_messages import Event, PaymentEnded, TransferEnded
from kitovu_connector.fxp import ConversionEnd, FxBackend
from kitovu_connector.lookups import LookupFailed
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_states import Payment, State

__all__ = [
    "AmountError",
    "Backend",
    "Config",
    "ConfigError",
    "Conflict",
    "Connector",
    "ConversionEnd",
    "Event",
    "FspiopError",
    "FxBackend",
    "FxConversion",
    "FxMoney",
    "FxQuotePost",
    "FxTransferPost",
    "HttpBackend",
    "IncomingMoney",
    "LookupFailed",
    "NotUnderstood",
    "Order",
    "PartyDetails",
    "PartyRef",
    "Payment",
    "PaymentEnded",
    "Refused",
    "StartError",
    "State",
    "Terms",
    "TermsWanted",
    "TransferEnded",
    "Unavailable",
    "format_amount",
    "load",
    "parse_amount",
]
