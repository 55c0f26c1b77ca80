"""A DFSP's connector to an instant payments hub with the Mojaloop FSPIOP API.

async with Connector(config, backend) as connector:
    payment = await connector.pay(order)

`kitovu_connector.sync` has the same calls without asyncio. `kitovu_connector.errors` describes the errors.
"""

from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from kitovu_connector.alias_registrations import AliasResult, CustomerAlias
from kitovu_connector.aliases import AliasRefused
from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.backend import Backend, HttpBackend, IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.config import Config, ConfigError, StartError, load
from kitovu_connector.conflicts import Conflict
from kitovu_connector.connector import Connector
from kitovu_connector.core_errors import CoreError, NotUnderstood, Refused, Unavailable
from kitovu_connector.errors import (
    AlreadySent,
    AskAgain,
    CallFailed,
    ConnectorError,
    DoNotRefund,
    InvalidRequest,
    NoSuchPayment,
    NoTermsYet,
    NothingBegun,
    NotRunning,
    PasswordRefused,
    Unanswered,
)
from kitovu_connector.event_messages import Event, PaymentEnded, TransferEnded
from kitovu_connector.fxp import ConversionEnd, FxBackend
from kitovu_connector.lookups import LookupFailed
from kitovu_connector.orders_and_payments import AgreedConversion, Order, Payment
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.payment_record import State

__all__ = [
    "AgreedConversion",
    "AliasRefused",
    "AliasResult",
    "AlreadySent",
    "AmountError",
    "AskAgain",
    "Backend",
    "CallFailed",
    "Config",
    "ConfigError",
    "Conflict",
    "Connector",
    "ConnectorError",
    "ConversionEnd",
    "CoreError",
    "CustomerAlias",
    "DoNotRefund",
    "Event",
    "FxBackend",
    "FxConversion",
    "FxMoney",
    "FxQuotePost",
    "FxTransferPost",
    "HttpBackend",
    "IncomingMoney",
    "InvalidRequest",
    "LookupFailed",
    "NoSuchPayment",
    "NoTermsYet",
    "NotRunning",
    "NotUnderstood",
    "NothingBegun",
    "Order",
    "PartyDetails",
    "PartyRef",
    "PasswordRefused",
    "Payment",
    "PaymentEnded",
    "Refused",
    "StartError",
    "State",
    "Terms",
    "TermsWanted",
    "TransferEnded",
    "Unanswered",
    "Unavailable",
    "format_amount",
    "load",
    "parse_amount",
]
