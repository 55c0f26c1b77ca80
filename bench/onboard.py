"""Onboards DFSPs with the hub's administration API, in the same way as an operator."""

import json
import time
import urllib.error
import urllib.request
import uuid
from email.utils import formatdate
from pathlib import Path
from typing import Any

from bench.messages import CURRENCY
from fspiop import jws

# This limit is so high that no transfer exceeds it, because the bench measures payments and not refusals.
FUNDS = "1000000000"
NET_DEBIT_CAP = 1_000_000_000
BASE = "FSPIOP_CALLBACK_URL"  # the endpoint type for a DFSP with one base URL


class OnboardingError(Exception):
    """The error if the hub refuses a request that the measurement needs."""


class Administration:
    """The administration API of one hub."""

    def __init__(self, hub_url: str) -> None:
        self._hub = hub_url
        self._base = f"{hub_url}/api/ledger/v1"

    def call(self, method: str, path: str, body: object = None, *, may_fail: bool = False) -> Any:
        """Calls the API and returns the JSON response. Returns None if the call fails and `may_fail` is set."""
        headers = {"Content-Type": "application/json"}
        return self._ask(method, f"{self._base}{path}", body, headers, may_fail=may_fail)

    def _ask(self, method: str, url: str, body: object, headers: dict[str, str], *, may_fail: bool = False) -> Any:
        request = urllib.request.Request(  # noqa: S310 (the operator's own hub)
            url, method=method, data=None if body is None else json.dumps(body).encode(), headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            if may_fail:
                return None
            raise OnboardingError(f"{method} {url}: HTTP {error.code} {error.read(300).decode()}") from None
        except OSError as error:
            raise OnboardingError(f"no response from {url}: {error}") from None

    def open_hub_accounts(self) -> None:
        """Opens the hub's own accounts. Does nothing if these accounts exist."""
        for kind in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
            self.call("POST", "/participants/Hub/accounts", {"type": kind, "currency": CURRENCY}, may_fail=True)

    def add_dfsp(
        self,
        name: str,
        callback_url: str | None,
        *,
        net_debit_cap: int = NET_DEBIT_CAP,
        endpoint_type: str = BASE,
    ) -> None:
        """Adds a DFSP with a limit, funds and, if a URL is given, an endpoint."""
        self.call("POST", "/participants", {"name": name, "currency": CURRENCY})
        limit = {"type": "NET_DEBIT_CAP", "value": net_debit_cap}
        initial = {"currency": CURRENCY, "limit": limit, "initialPosition": 0}
        self.call("POST", f"/participants/{name}/initialPositionAndLimits", initial)
        if callback_url:
            self.call("POST", f"/participants/{name}/endpoints", {"type": endpoint_type, "value": callback_url})
        self._add_funds(name)

    def add_key(self, name: str, public_key: str) -> None:
        """Registers a DFSP's public key, with which the hub checks the DFSP's signatures."""
        self.call("POST", f"/participants/{name}/credentials/signingKeys", {"key": public_key})

    def add_customers(self, name: str, aliases: list[str], *, key_file: Path | None = None) -> None:
        """Registers a DFSP's customers in the hub's own oracle. The DFSP sends this request (FSPIOP API v1.1, section
        6.2.2.4). If a key file is given, the DFSP signs the request with the private key in this file.
        """
        kind = "application/vnd.interoperability.participants+json;version=1"
        parties = [{"partyIdType": "MSISDN", "partyIdentifier": alias, "fspId": name} for alias in aliases]
        headers = {"FSPIOP-Source": name, "Date": formatdate(usegmt=True), "Accept": kind, "Content-Type": f"{kind}.1"}
        body = {"requestId": str(uuid.uuid4()), "partyList": parties}
        if key_file is not None:
            headers |= {"FSPIOP-URI": "/participants", "FSPIOP-HTTP-Method": "POST"}
            headers["FSPIOP-Signature"] = jws.sign(
                json.dumps(body).encode(),
                key=jws.load_private_key(key_file.read_bytes()),
                method="POST",
                uri="/participants",
                source=name,
                destination=None,
                date=headers["Date"],
            )
        self._ask("POST", f"{self._hub}/participants", body, headers)

    def _add_funds(self, name: str) -> None:
        account = self._settlement_account(name)
        self.call(
            "POST",
            f"/participants/{name}/accounts/{account['id']}",
            {
                "transferId": str(uuid.uuid4()),
                "externalReference": "bench",
                "action": "recordFundsIn",
                "reason": "bench",
                "amount": {"amount": FUNDS, "currency": CURRENCY},
            },
        )
        until = time.monotonic() + 10
        while not self._settlement_account(name)["value"]:  # the API can record the funds after its response 202
            if time.monotonic() > until:
                raise OnboardingError(f"the funds of {name} did not arrive")
            time.sleep(0.1)

    def _settlement_account(self, name: str) -> dict[str, Any]:
        accounts = self.call("GET", f"/participants/{name}/accounts")
        found: dict[str, Any] = next(
            a for a in accounts if a["ledgerAccountType"] == "SETTLEMENT" and a["currency"] == CURRENCY
        )
        return found
