"""The hub's own API for DFSPs (/dfsp/v1): certificates, signing keys, callback check, clock, positions, statement."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from fspiop import bodies
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import FspiopError
from kitovu_connector.client import HubClient, Reply
from kitovu_connector.tokens import NoToken

T = TypeVar("T")

_BASE = "/dfsp/v1"
_PAGE = 1000
_TRIES, _PAUSE_S = 4, 1.0


class HubUnreachable(Exception):
    """The error for a request that the connector could not send, or that had no response. The text of the error has the
    reason.

    `is_insecure` is True if the connection failed because of TLS or because of an untrusted certificate of the hub.
    """

    def __init__(self, text: str, *, is_insecure: bool = False) -> None:
        super().__init__(text)
        self.is_insecure = is_insecure


class HubRefused(Exception):
    """The error for a request that the hub refused.

    `code` is an error code of the API, or "" if the response has no code.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(f"HTTP {status} {code} {text}".strip())
        self.status, self.code, self.text = status, code, text


class _Response(msgspec.Struct, rename="camel"):
    """The base class of responses. Unknown fields are ignored, because a later version of the hub can add fields."""


class SigningKey(_Response, kw_only=True):
    participant: str
    key_id: str
    key: str
    valid_from: str | None = None
    valid_until: str | None = None


class Certificate(_Response, kw_only=True):
    id: int
    subject: str
    sha256: str
    valid_from: str
    valid_until: str
    revoked_at: str | None = None
    pem: str


class Submission(_Response, kw_only=True):
    """A submitted certificate or key. `state` is PENDING, APPROVED, REFUSED or EXPIRED."""

    id: int
    change: str
    state: str
    approvals: int
    submitted_date: str
    expiration_date: str
    key_id: str
    decision: str | None = None
    certificate: Certificate | None = None


class Credential(_Response, kw_only=True):
    id: int
    kind: str
    label: str
    sha256: str | None = None
    valid_from: str
    valid_until: str


class Participant(_Response, kw_only=True):
    """The hub's data about this DFSP."""

    name: str
    is_active: bool
    may_send: bool
    may_receive: bool
    is_leaving: bool
    signatures: str
    endpoints: dict[str, str]
    credentials: list[Credential]


class CallbackCheck(_Response, kw_only=True):
    """The result of the test request that the hub sent to this DFSP's endpoint."""

    url: str | None = None
    path: str = ""
    is_reachable: bool
    is_taken: bool
    status: int | None = None
    error: str | None = None
    error_code: str | None = None
    milliseconds: int | None = None


class Position(_Response, kw_only=True):
    currency: str
    is_active: bool
    position: str
    reserved: str
    net_debit_cap: str | None = None
    cover: str
    limit: str | None = None
    free: str | None = None


class Line(_Response, kw_only=True):
    """One line of a statement: a transfer. `direction` is OUT if this DFSP pays.

    If `is_converted` is true, the transfer's conversion changes this DFSP's position, and the transfer itself does not.
    """

    transfer_id: str
    direction: str
    payer_fsp: str
    payee_fsp: str
    amount: str
    currency: str
    state: str
    error_code: str | None = None
    is_converted: bool = False
    window_id: int | None = None
    received_date: str
    completed_date: str | None = None


class ConversionLine(_Response, kw_only=True):
    """One line of a statement: a conversion. `role` is FXP if this DFSP converts."""

    commit_request_id: str
    role: str
    side: str
    source_amount: str
    source_currency: str
    target_amount: str
    target_currency: str
    state: str
    window_id: int | None = None
    received_date: str


class Posting(_Response, kw_only=True):
    """One line of a statement: a posting that belongs to no transfer and to no conversion."""

    transfer_id: str
    kind: str
    debit_account: str
    credit_account: str
    amount: str
    currency: str
    reference: str = ""
    received_date: str


class StatementPage(_Response, kw_only=True):
    """One page of a statement."""

    transfers: list[Line]
    conversions: list[ConversionLine] = []
    postings: list[Posting] = []
    next: str | None = None


class SettlementPart(_Response, kw_only=True):
    """This DFSP's part of a settlement, in one currency. If `net` is positive, the DFSP owes the amount."""

    settlement_id: int
    transfer_id: str
    currency: str
    net: str
    state: str
    window_ids: list[int]
    windows_from: str
    created_date: str


class _Clock(_Response, kw_only=True):
    time: str


class _SigningKeys(_Response, kw_only=True):
    keys: list[SigningKey]


class _Certificates(_Response, kw_only=True):
    certificates: list[Certificate]
    authority: str | None = None


class _Submissions(_Response, kw_only=True):
    submissions: list[Submission]


class _Positions(_Response, kw_only=True):
    positions: list[Position]


class _Settlements(_Response, kw_only=True):
    settlements: list[SettlementPart]
    next: int | None = None


class HubApi:
    """Sends requests to the hub's own API. Uses the connections, credentials and signing key of the client `hub`.

    Every method raises HubUnreachable if there was no response, and HubRefused for a response other than 2xx.
    """

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    async def time(self) -> str:
        """Returns the hub's time. From this response, HubClient measures the difference between the hub's clock and
        this machine's clock.
        """
        # without repetition, because health probes wait for the answer
        return _read(await self._call("GET", "/clock"), _Clock).time

    async def participant(self) -> Participant:
        return await self._get("/participant", Participant)

    async def positions(self) -> list[Position]:
        return (await self._get("/positions", _Positions)).positions

    async def certificates(self) -> tuple[list[Certificate], str | None]:
        """Returns this DFSP's certificates. If the hub has a certificate authority, also returns the authority's
        certificate.
        """
        found = await self._get("/certificates", _Certificates)
        return found.certificates, found.authority

    async def signing_keys(self, tag: str = "") -> tuple[list[SigningKey], str] | None:
        """Returns the public keys of all participants and of the hub, with the ETag of this list.

        Returns None if this ETag still equals `tag`.
        """
        reply = await self._call("GET", "/signingKeys", further={"If-None-Match": tag} if tag else {})
        if reply.status == 304:
            return None
        return _read(reply, _SigningKeys).keys, reply.headers.get("ETag", "")

    async def submit_signing_request(self, csr: str) -> Submission:
        return await self._post("/signingRequests", {"csr": csr}, Submission)

    async def submit_signing_key(self, pem: str) -> Submission:
        return await self._post("/signingKeys", {"key": pem}, Submission)

    async def submission(self, number: int) -> Submission:
        return await self._get(f"/submissions/{number}", Submission)

    async def submissions(self) -> list[Submission]:
        """Returns this DFSP's latest submissions, the newest first."""
        return (await self._get("/submissions", _Submissions)).submissions

    async def check_callback(self) -> CallbackCheck:
        """Starts a test of this DFSP's registered endpoint: the hub then sends a request to this endpoint."""
        return await self._post("/callbackChecks", {}, CallbackCheck)

    async def statement(self, *, since: str, until: str) -> AsyncIterator[StatementPage]:
        """Yields the pages of this DFSP's statement. The statement contains everything that arrived at the hub between
        the two times.
        """
        query: dict[str, Any] = {"from": since, "to": until, "limit": _PAGE}
        while True:
            page = await self.statement_page(urlencode(query))
            yield page
            if page.next is None:
                return
            query["after"] = page.next

    async def statement_page(self, query: str) -> StatementPage:
        """Returns one page of the statement. `query` has the parameters of the hub's own API."""
        return await self._get("/statement?" + query, StatementPage)

    async def settlements(self, *, since: str, until: str) -> AsyncIterator[SettlementPart]:
        """Yields this DFSP's part of each settlement that was created between the two times."""
        query: dict[str, Any] = {"from": since, "to": until, "limit": _PAGE}
        while True:
            page = await self._get("/settlements?" + urlencode(query), _Settlements)
            for part in page.settlements:
                yield part
            if page.next is None:
                return
            query["after"] = page.next

    async def _get(self, path: str, kind: type[T]) -> T:
        """Sends a GET request. If the hub is too busy, repeats the request after a second."""
        for _ in range(_TRIES - 1):
            try:
                return _read(await self._call("GET", path), kind)
            except HubRefused as error:
                if error.status not in (429, 503):
                    raise
            await asyncio.sleep(_PAUSE_S)
        return _read(await self._call("GET", path), kind)

    async def _post(self, path: str, body: object, kind: type[T]) -> T:
        return _read(await self._call("POST", path, msgspec.json.encode(body)), kind)

    async def _call(self, method: str, path: str, body: bytes = b"", *, further: Any = None) -> Reply:
        try:
            reply = await self._hub.call(method, _BASE + path, body, further=further)
        except NoToken as error:
            if error.is_refused:
                raise HubRefused(401, "", str(error)) from None
            raise HubUnreachable(str(error)) from None
        except TimeoutError:
            raise HubUnreachable("no response in time") from None
        except aiohttp.ClientSSLError as error:
            raise HubUnreachable(str(error), is_insecure=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise HubUnreachable(str(error) or type(error).__name__) from None
        if reply.status == 304 or 200 <= reply.status < 300:
            return reply
        raise _refusal(reply)


def _refusal(reply: Reply) -> HubRefused:
    try:
        information = bodies.read(ErrorPut, reply.body).error_information
    except FspiopError:
        return HubRefused(reply.status, "", "the response is not one of the hub's API")
    return HubRefused(reply.status, str(information.error_code), information.error_description)


def _read(reply: Reply, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise HubRefused(reply.status, "", "the response is not one of the hub's API") from None
