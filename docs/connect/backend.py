"""A complete bank core for the connector, with only Python's standard library: python3 backend.py PORT

A real core keeps `transfers` and balances in its database. It does each step of a payment in one database transaction.
"""

import json
import sys
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CUSTOMERS: dict = {"255770001001": {"name": "Amina Salim", "balance": Decimal("100000")}}
FEE = Decimal("0")
transfers: dict = {}  # the keys are the hub's transfer ids; each value has the reserved amount and the state
lock = threading.Lock()


def party(number):
    """GET /parties/MSISDN/{number}: the connector asks for the customer with this number."""
    found = CUSTOMERS.get(number)
    return (200, {"displayName": found["name"], "supportedCurrencies": ["TZS"]}) if found else (404, {})


def terms(wanted):
    """POST /quoterequests: the connector asks for the customer's amount and the bank's fee."""
    if wanted["currency"] != "TZS":
        return 400, {"statusCode": "5106", "message": "accounts are in TZS"}
    if wanted["to"]["idValue"] not in CUSTOMERS:
        return 404, {"statusCode": "3204", "message": "no such customer"}
    received = Decimal(wanted["amount"]) - (FEE if wanted["amountType"] == "SEND" else 0)
    return 200, {"payeeReceiveAmount": str(received), "payeeFspFeeAmount": str(FEE)}


def reserve(wanted):
    """POST /transfers: the connector announces money for a customer. The bank must answer 2xx only if it can certainly
    credit the money later."""
    number = wanted["to"]["idValue"]
    if number not in CUSTOMERS:
        return 404, {"statusCode": "5107", "message": "no such customer"}
    known = transfers.setdefault(wanted["transferId"], {"to": number, "state": "RESERVED"})
    if known["state"] == "ABORTED":
        return 400, {"statusCode": "5105", "message": "it was aborted"}
    return 200, {}


def end(transfer_id, said):
    """PUT /transfers/{id}: the hub has decided about the transfer. The connector repeats the PUT until the answer is
    2xx."""
    known = transfers.setdefault(transfer_id, {"to": said.get("to", {}).get("idValue"), "state": "RESERVED"})
    if said["transferState"] == "COMMITTED" and known["state"] != "COMMITTED":  # the connector can send a message twice
        CUSTOMERS[known["to"]]["balance"] += Decimal(said["payeeReceiveAmount"])
        print(f"credited {said['payeeReceiveAmount']} {said['currency']} to {known['to']}", flush=True)
    known["state"] = said["transferState"]
    return 200, {}


class Core(BaseHTTPRequestHandler):
    """Returns the function that answers this request of the connector."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, number = self.path.removeprefix("/parties/").partition("/")
        self.answer(*(party(number) if kind == "MSISDN" else (404, {})))

    def do_POST(self):
        with lock:
            found = (terms if self.path == "/quoterequests" else reserve)(self.body())
        self.answer(*found)

    def do_PUT(self):
        with lock:
            found = end(self.path.rpartition("/")[2], self.body())
        self.answer(*found)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Core).serve_forever()
