"""A small scheme on the hub that is fuzzed, and right messages about it, to be sent as they are or spoilt."""

import random
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from bench.onboard import Administration
from bench.signing import make_key
from tests.api import fx_messages, messages

DFSPS = ("green", "blue", "red", "fxp")
CURRENCIES = ("TZS", "KES")
ALIASES = {"255712001001": "green", "255655001001": "blue", "255655001002": "red"}
_FUNDS = 1_000_000_000
_VALID_S = 3600  # longer than it takes until their answers are sent
_KEPT = 50  # ids of a kind that later requests refer to


class _Sink(BaseHTTPRequestHandler):
    """Takes every callback."""

    protocol_version = "HTTP/1.1"

    def _take(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take

    def log_message(self, *_: Any) -> None:
        pass


def open_sink() -> str:
    """Where the hub may call all DFSPs, as long as this process runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def provision(url: str, callback_url: str, keys: Path) -> None:
    """Accounts of the hub and of four DFSPs in two currencies, with caps, funds and keys. Repeatable."""
    administration = Administration(url)
    call = administration.call
    for currency in CURRENCIES:
        for kind in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
            call("POST", "/participants/Hub/accounts", {"type": kind, "currency": currency}, may_fail=True)
        for name in DFSPS:
            terms = {"currency": currency, "limit": {"type": "NET_DEBIT_CAP", "value": _FUNDS}, "initialPosition": 0}
            call("POST", "/participants", {"name": name, "currency": currency}, may_fail=True)
            call("POST", f"/participants/{name}/initialPositionAndLimits", terms, may_fail=True)
    for name in DFSPS:
        call("POST", f"/participants/{name}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": callback_url})
        administration.add_key(name, make_key(keys / name))
        for account in call("GET", f"/participants/{name}/accounts"):
            if account["ledgerAccountType"] == "SETTLEMENT":
                _add_funds(call, name, account)
    time.sleep(3)  # processes read keys anew within CREDENTIALS_REFRESH_S


def _add_funds(call: Callable[..., Any], name: str, account: dict[str, Any]) -> None:
    funds = {
        "transferId": str(uuid.uuid4()),
        "externalReference": "fuzz",
        "action": "recordFundsIn",
        "reason": "fuzz",
        "amount": {"amount": str(_FUNDS), "currency": account["currency"]},
    }
    call("POST", f"/participants/{name}/accounts/{account['id']}", funds)


class Sent:
    """What a process had taken, so that it can be answered, asked for again and changed."""

    def __init__(self) -> None:
        self._bodies: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def keep(self, resource: str, body: Any) -> None:
        if isinstance(body, dict) and isinstance(body.get(id_name(resource)), str):
            self._bodies[resource].append(body)

    def one(self, resource: str) -> dict[str, Any]:
        kept = self._bodies[resource]
        return random.choice(kept) if kept else POSTS[resource]()


def id_name(resource: str) -> str:
    return {"fxQuotes": "conversionRequestId", "fxTransfers": "commitRequestId"}.get(resource, resource[:-1] + "Id")


def transaction_request() -> dict[str, Any]:
    return {
        "transactionRequestId": str(uuid.uuid4()),
        "payee": messages.party("green", "255712001001"),
        "payer": {"partyIdType": "MSISDN", "partyIdentifier": "255655001001", "fspId": "blue"},
        "amount": {"currency": "TZS", "amount": "10"},
        "transactionType": messages.TRANSACTION_TYPE | {"initiator": "PAYEE"},
    }


def _participants() -> dict[str, Any]:
    parties = [{"partyIdType": "MSISDN", "partyIdentifier": n, "fspId": d} for n, d in ALIASES.items() if d == "green"]
    return {"requestId": str(uuid.uuid4()), "partyList": parties}


POSTS: dict[str, Callable[[], dict[str, Any]]] = {
    "transfers": lambda: messages.transfer(expiration=messages.moment(_VALID_S)),
    "quotes": messages.quote,
    "bulkQuotes": messages.bulk_quote,
    "bulkTransfers": lambda: messages.bulk_transfer(expiration=messages.moment(_VALID_S)),
    "fxQuotes": fx_messages.fx_quote,
    "fxTransfers": lambda: fx_messages.fx_transfer(expiration=messages.moment(_VALID_S)),
    "transactionRequests": transaction_request,
    "participants": _participants,
}
_PUTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "transfers": lambda _: messages.fulfilment(),
    "quotes": lambda _: messages.terms(),
    "bulkQuotes": messages.bulk_terms,
    "bulkTransfers": messages.bulk_results,
    "fxQuotes": fx_messages.fx_terms,
    "fxTransfers": lambda _: fx_messages.fx_fulfilment(),
    "transactionRequests": lambda _: {"transactionRequestState": "ACCEPTED", "transactionId": str(uuid.uuid4())},
}


def right_message(method: str, path: str, sent: Sent) -> tuple[dict[str, str], Any, str, str]:
    """Path parameters, body, source and destination with which this operation should be taken."""
    resource, *more = path.strip("/").split("/")
    number = random.choice(list(ALIASES))
    parameters = {"id_type": "MSISDN", "identifier": number, "source_currency": "TZS", "target_currency": "KES"}
    to = "fxp" if resource.startswith("fx") else "blue"
    if not more:
        return {}, POSTS[resource]() if resource in POSTS else None, "green", to
    body: Any = None
    if path.endswith("/error"):
        body = messages.error()
    elif method == "PUT" and resource == "parties":
        body = {"party": messages.party(ALIASES[number], number)}
    elif "identifier" in path and method in ("POST", "PUT"):
        body = {"fspId": ALIASES[number]}
    elif resource in _PUTS and "{" in path:
        asked = sent.one(resource)
        parameters[more[0].strip("{}")] = asked[id_name(resource)]
        body = _PUTS[resource](asked)
    if "{" in path and resource in _PUTS and path.endswith("/error"):
        parameters[more[0].strip("{}")] = sent.one(resource)[id_name(resource)]
    if resource == "participants" and "identifier" in path:
        return parameters, body, ALIASES[number], to
    return (parameters, body, to, "green") if method == "PUT" else (parameters, body, "green", to)
