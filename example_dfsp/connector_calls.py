"""The bank's requests to its connector: payments, lookups, requests to pay, and the hub's figures."""

import json
from typing import Any
from urllib.parse import quote

import aiohttp

NO_RESPONSE = 503
NO_SUCH_PAYMENT = "3200"
_UNDECIDED = frozenset({408, 409, 425, 429})  # 4xx statuses that do not show whether a payment exists

Answer = tuple[int, dict[str, Any]]


class ConnectorCalls:
    """The requests to the connector are the bank's only link to the scheme."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Opens the connections."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=90), connector=aiohttp.TCPConnector(limit=100)
        )

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """Calls the connector. Returns status and body of the response, or 503 if there was no response."""
        assert self._session is not None, "the bank has not started"
        try:
            async with self._session.request(method, self._url + path, json=body) as response:
                raw = await response.read()
                found = json.loads(raw or b"{}")
                return response.status, found if isinstance(found, dict) else {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return NO_RESPONSE, {"error": f"no response from the connector: {type(error).__name__}"}

    async def payment(self, home_id: str) -> Answer:
        """Returns the connector's answer about the payment with the bank's own id `home_id`."""
        return await self.call("GET", f"/payments/{quote(home_id, safe='')}")

    async def was_never_begun(self, home_id: str) -> bool:
        """Returns whether the connector reports that it does not have this payment. If this function returns False, it
        is possible that the connector still makes the payment.
        """
        status, said = await self.payment(home_id)
        return status == 404 and code_of(said) == NO_SUCH_PAYMENT


def is_refusal(status: int) -> bool:
    """Returns whether the connector refused a request. Returns False if the connector has not decided yet."""
    return 400 <= status < 500 and status not in _UNDECIDED


def code_of(said: dict[str, Any]) -> str:
    """Returns the error code of a refusal."""
    return str(said.get("errorInformation", {}).get("errorCode") or "4000")


def text_of(said: dict[str, Any]) -> str:
    """Returns the error text of a refusal."""
    return str(said.get("errorInformation", {}).get("errorDescription") or "")
