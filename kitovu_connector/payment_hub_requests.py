"""Creates the requests of an outgoing payment to the hub. Pure functions, without I/O."""

from dataclasses import dataclass
from urllib.parse import urlencode

from fspiop import money
from fspiop.paths import path_of
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.party_paths import party_path
from kitovu_connector.payment_events_and_actions import Ask
from kitovu_connector.payment_record import Payment


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the hub, with its percent-encoded path."""

    method: str
    path: str
    body: bytes = b""
    destination: str | None = None


def request_of(payment: Payment, ask: Ask) -> Request:
    """Returns the request. For one payment, every call returns the same content."""
    payee = payment.payee.fsp_id if payment.payee is not None else None
    match ask:
        case Ask.OWNER:
            return Request("GET", party_path("participants", *payment.order.payee.alias))
        case Ask.PARTY:
            return Request("GET", party_path("parties", *payment.order.payee.alias), destination=payment.owner)
        case Ask.PROVIDERS:
            return Request("GET", path_of("services", "FXP", *conversion.currencies(payment)))
        case Ask.FX_QUOTE:
            return Request("POST", "/fxQuotes", payment.fx_quote_body, conversion.provider(payment))
        case Ask.FX_SEND:
            return Request("POST", "/fxTransfers", payment.fx_transfer_body, conversion.provider(payment))
        case Ask.QUOTE:
            return Request("POST", "/quotes", payment.quote_body, payee)
        case Ask.AUTHORIZATION:
            query = {
                "authenticationType": "OTP",
                "retriesLeft": "1",
                "amount": money.format_amount(payment.order.amount),
                "currency": payment.order.currency,
            }
            path = path_of("authorizations", payment.order.transaction_request_id or "")
            return Request("GET", f"{path}?{urlencode(query)}", destination=payee)
        case Ask.SEND:
            return Request("POST", "/transfers", payment.transfer_body, payee)
        case Ask.TRANSFER:
            return Request("GET", f"/transfers/{payment.transfer_id}")
