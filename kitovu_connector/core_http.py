"""Sends HTTP requests to the core, and converts data into the forms that Mojaloop's SDK and the connector share."""

from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

from kitovu_connector.amounts import parse_amount
from kitovu_connector.client import read_at_most
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.payment_order import Extensions, PartyRef

ANSWER_AT_MOST = 256 * 1024


class _Answer(msgspec.Struct, rename="camel", kw_only=True):
    status_code: str | int | None = None
    message: str | None = None


class CoreHttp:
    """Sends HTTP requests to an existing core. The caller must use an object of this class as a context manager."""

    def __init__(self, url: str, *, timeout_s: float = 8.0, connections: int = 32) -> None:
        self._base = url.rstrip("/")
        self._timeout_s = timeout_s
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self.fault = ""
        """The reason why the latest call had no answer. This text is empty before the first call, and if the latest
        call had an answer.
        """

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=3),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Returns the status and the body of the core's answer. Raises Unavailable if the core does not answer."""
        assert self._session is not None, "use as a context manager"
        try:
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                data=None if body is None else msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                raw = await read_at_most(response, ANSWER_AT_MOST)
                self.fault = f"HTTP {response.status}" if response.status >= 500 else ""
                return response.status, raw
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.fault = type(error).__name__
            raise Unavailable(type(error).__name__) from error


def party_shown(party: PartyRef) -> dict[str, Any]:
    """Returns a party in the form of Mojaloop's SDK."""
    return {
        "idType": party.id_type,
        "idValue": party.id_value,
        **present(
            idSubValue=party.sub_id,
            fspId=party.fsp_id,
            displayName=party.name,
            firstName=party.first_name,
            middleName=party.middle_name,
            lastName=party.last_name,
            dateOfBirth=party.date_of_birth,
            kycInformation=party.kyc_information,
            merchantClassificationCode=party.merchant_classification_code,
            supportedCurrencies=list(party.currencies),
            extensionList=extensions_shown(party.extensions),
        ),
    }


def extensions_shown(extensions: Extensions) -> list[dict[str, str]]:
    """Returns extensions in the form of Mojaloop's SDK."""
    return [{"key": key, "value": value} for key, value in extensions]


def present(**fields: Any) -> dict[str, Any]:
    """Returns only the fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, [])}


def check(status: int, raw: bytes) -> None:
    """Raises the error that the core's answer reports. Raises no error if the answer reports a success."""
    if 200 <= status < 300:
        return
    if not 400 <= status < 500 or status in (408, 425, 429):
        raise Unavailable(f"HTTP {status}")
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotUnderstood(f"HTTP {status} without a statusCode") from None
    if answer.status_code is None:
        raise NotUnderstood(f"HTTP {status} without a statusCode")
    raise Refused(str(answer.status_code), answer.message or "")


def has_code(raw: bytes) -> bool:
    """Returns whether the core's answer has a `statusCode`."""
    try:
        return msgspec.json.decode(raw, type=_Answer).status_code is not None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def read(kind: type[Any], status: int, raw: bytes) -> Any:
    """Returns the core's answer as the expected type. Raises an error for any other answer."""
    check(status, raw)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotUnderstood(str(error)) from None


def amount_of(name: str, text: str) -> int:
    """Converts an amount from the core into ten-thousandths. If the amount is faulty, raises NotUnderstood with the
    field's name.
    """
    try:
        return parse_amount(text)
    except ValueError as error:
        raise NotUnderstood(f"{name}: {error}") from None
