"""Translates the messages of five resources between the plain form and ISO 20022, when the connector sends or receives
them.

The connector itself uses only the plain form. The setting `message_form` names the form in which a DFSP sends its
messages.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fspiop import bodies, iso20022, resources, strictjson, versions
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPatch, FxTransferPost, FxTransferPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.headers import Headers
from fspiop.iso20022 import writing_requests_and_answers
from fspiop.iso20022.writing_requests_and_answers import Envelope
from fspiop.versions import Version
from kitovu_connector.config import Config

_KINDS: Mapping[tuple[str, str], type[Any]] = {
    ("PUT", "parties"): PartyPut,
    ("POST", "quotes"): QuotePost,
    ("PUT", "quotes"): QuotePut,
    ("POST", "fxQuotes"): FxQuotePost,
    ("PUT", "fxQuotes"): FxQuotePut,
    ("POST", "transfers"): TransferPost,
    ("PUT", "transfers"): TransferPut,
    ("PATCH", "transfers"): TransferPatch,
    ("POST", "fxTransfers"): FxTransferPost,
    ("PUT", "fxTransfers"): FxTransferPut,
    ("PATCH", "fxTransfers"): FxTransferPatch,
}
_STATES_AND_ERRORS = (ErrorPut, TransferPut, FxTransferPut)
# the path is /parties/{Type}/{ID}; in all other paths, only the id follows the resource's name
_SEGMENTS_BEFORE_ERROR = {"parties": 3}


class MessageForms:
    """The forms of one DFSP's messages."""

    def __init__(self, config: Config) -> None:
        self._config = config
        major, minor = map(int, config.version.split("."))
        self._version = Version(major, minor)

    def version(self, resource: str) -> Version:
        """Returns the API version in which the connector sends this resource's messages."""
        if self._config.is_iso20022 and resources.has_iso20022_bodies(resource):
            return versions.ISO20022
        # Messages about conversions always have version 2.0, independently of the version of other messages.
        return max(self._version, versions.SUPPORTED[resource][0])

    def accept(self, resource: str) -> str:
        """Returns the Accept header of a request for this resource."""
        version = self.version(resource)
        return versions.accept(resource, version if version.is_iso20022 else version.major)

    def sent(self, method: str, path: str, body: bytes, *, destination: str | None, now: float) -> bytes:
        """Converts a body from the plain form into the form that this DFSP sends. `now` is the hub's present time."""
        segments = path.partition("?")[0].split("/")[1:]
        if not body or not self.version(segments[0]).is_iso20022:
            return body
        kind = _kind_of(method, segments[0], is_error=_is_error(segments))
        envelope = Envelope(
            path=path,
            date=datetime.fromtimestamp(now, UTC),
            source=self._config.dfsp,
            destination=destination or self._config.hub_id,
        )
        if kind in _STATES_AND_ERRORS:
            written = iso20022.write(
                strictjson.loads(body),  # type: ignore[arg-type]
                path=path,
                date=envelope.date,
                source=envelope.source,
                destination=envelope.destination,
            )
        else:
            written = writing_requests_and_answers.write(bodies.read(kind, body), envelope)
        return strictjson.canonical(written)

    def received(self, method: str, resource: str, headers: Headers, raw: bytes, *, is_error: bool) -> bytes:
        """Converts a received body into the plain form.

        Raises FspiopError 3001 if another DFSP's message is not in this DFSP's form. The other DFSP could not read an
        answer in this form. The hub itself may use either form.
        """
        if not resources.has_iso20022_bodies(resource):
            return raw
        version = headers.accept_version if method == "GET" else headers.content_version
        is_iso20022 = version is not None and version.is_iso20022
        if is_iso20022 != self._config.is_iso20022 and headers.source != self._config.hub_id:
            wanted = "only ISO 20022 is supported" if self._config.is_iso20022 else "ISO 20022 is not supported"
            raise FspiopError(ErrorCode.UNACCEPTABLE_VERSION, wanted)
        if not is_iso20022 or not raw:
            return raw
        return bodies.write(iso20022.read(_kind_of(method, resource, is_error=is_error), raw, resource))


def _kind_of(method: str, resource: str, *, is_error: bool) -> type[Any]:
    return ErrorPut if is_error else _KINDS[(method, resource)]


def _is_error(segments: list[str]) -> bool:
    """Returns whether the path is that of an error message: it ends in /error, and this ending is not an id. An id can
    also be the word "error".
    """
    return segments[-1] == "error" and len(segments) > _SEGMENTS_BEFORE_ERROR.get(segments[0], 2)
