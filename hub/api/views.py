"""The base class of every FSPIOP view.

First the view checks the declared size of the body, then the headers and versions, then the caller, and then the
limits. After these checks, the view reads the body and checks the signature over the body's bytes. The view parses the
body only after the check of the signature.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from fspiop import bodies, iso20022, resources, strictjson
from fspiop.errors import ErrorCode, FspiopError
from fspiop.headers import FORWARDED, Headers, read_headers
from hub import whole_minor_units
from hub.api import authentication, bulk_concurrency, dfsp_limits, errors, request_body, signatures
from hub.api.bulk_concurrency import Answered, Bulks
from hub.outbox.messages import Recipient
from hub.participants import credential_cache, queries
from hub.recordings import recorder

T = TypeVar("T")

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""The API's methods. Without this list, DRF would respond to OPTIONS, and Django would respond to HEAD in the same way
as to GET."""
_LARGE = frozenset({"POST", "PUT"})
CALLBACKS = frozenset({"PUT", "PATCH"})
"""The HTTP methods of callbacks. The hub accepts a callback even if the caller has caused too many messages that wait
for other participants."""


class NoNegotiation(BaseContentNegotiation):
    """A response is always JSON, even if the Accept header names another format. In FSPIOP, a requester can choose only
    the version of the response (`fspiop.versions`)."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


@cache
def _key_of(name: str) -> str:
    """Returns the WSGI key of a header.

    Call this function only with the API's header names, never with a name that a sender chose.
    """
    return "CONTENT_TYPE" if name == "content-type" else "HTTP_" + name.upper().replace("-", "_")


class PlainView(APIView):
    """The base class of API views. It removes reference cycles, so that Python frees the memory of a request when the
    request has ended. In DRF, a request refers to its view, to find the parsers. A view refers to its request, to its
    response, and to its own method `head`. Such cycles keep the body in memory until Python's garbage collector runs.
    In the hub, the garbage collector runs rarely (`hub.process_tuning`).
    """

    content_negotiation_class = NoNegotiation

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        made = super().initialize_request(request, *args, **kwargs)
        made.parser_context = {}  # DRF does not parse the body
        return made

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            for name in ("head", "response"):
                self.__dict__.pop(name, None)


class FspiopView(PlainView):
    """The base class of a view for a resource of the FSPIOP API.

    After `initial`, a handler can use `self.caller` (a participant's id), `self.fspiop` (the headers), `self.raw_body`
    and `self.signed_uri`. A handler reads the body, calls one function of the hub, and responds.
    """

    resource: ClassVar[str]
    is_bulk: ClassVar[bool] = False
    """Whether a request to this resource is about many items. A DFSP may have only a few open requests about many
    items, and these requests get a limited share of the process's time."""

    bulks: ClassVar[Bulks] = dfsp_limits.bulks

    has_large_bodies: ClassVar[bool] = False
    """Whether a POST or PUT to this resource can contain many items. If so, the hub allows larger bodies."""

    sends_messages: ClassVar[bool] = True
    """Whether requests to this resource cause messages to DFSPs. If so, the hub refuses them while too many messages of
    the caller wait."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    caller: int
    fspiop: Headers
    raw_body: bytes
    signed_uri: str | None  # the FSPIOP-URI of the checked signature
    answered = Answered.NOTHING
    """If this request is an answer to a bulk: the kind of answer. The handler sets this value."""

    _is_counted = False
    _is_readable = False
    """Whether the body is a message of the API. A later error can be about the state of a payment, which another DFSP
    can change."""
    _end_bulk: bulk_concurrency.Ended | None = None
    _bulk_began = 0.0
    _unread = 0
    """The largest possible number of unread bytes of the body."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Works like DRF's `dispatch`, but without the response headers Allow and Vary, because the API does not have
        these headers."""
        asked = self.initialize_request(request, *args, **kwargs)
        self.request = asked
        try:
            self.initial(asked, *args, **kwargs)
            handler = getattr(self, (request.method or "").lower())
            response: HttpResponseBase = handler(asked, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)
            if response.status_code >= 500:
                self.answered = Answered.BULK  # the hub caused the error, so this request counts as a correct answer
            elif response.status_code == 400 and self._is_counted and not self._is_readable:
                octets = request.META.get(request_body.OCTETS_READ, 0)
                dfsp_limits.charge_faulty_body(self.caller, octets)
        finally:
            self.__dict__.pop("head", None)  # see PlainView
            if self._unread:
                request_body.pass_over(request, self._unread)
            if self._end_bulk is not None:
                self._end_bulk(time.monotonic() - self._bulk_began, self.answered)
            if self._is_counted:
                dfsp_limits.leave(self.caller)
        recordings = credential_cache.recorded()
        if recordings and self.sends_messages:
            body = self.__dict__.get("raw_body", b"")
            recorder.record(recordings, request, response, body, lambda: self._sender(request))
        return response

    def _sender(self, request: HttpRequest) -> str | None:
        """Returns the name of the participant that sent the request, even if the hub has refused the request. Returns
        None if the credentials belong to no participant."""
        if "caller" in self.__dict__:
            return self.fspiop.source
        if settings.PARTICIPANT_AUTH:
            return authentication.proven_name(request)
        return request.META.get("HTTP_FSPIOP_SOURCE", "")  # if no credentials are required, this name is not proven

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        http: HttpRequest = request._request
        method = http.method or ""
        if method not in METHODS or getattr(self, method.lower(), None) is None:
            raise exceptions.MethodNotAllowed(method)
        request_body.check_head(http)
        is_large = self.has_large_bodies and method in _LARGE
        most = settings.MAX_BULK_BODY_BYTES if is_large else settings.MAX_BODY_BYTES
        length = request_body.length_of(http, most)
        self._unread = most if length is None else length
        meta = http.META

        def header(name: str) -> str | None:
            value: str | None = meta.get(_key_of(name))
            return value if value or name != "content-type" else None  # a server sets "" for a missing Content-Type

        self._header = header
        self.fspiop = self.read_headers(method, header)
        self.check_date()
        self.caller = authentication.participant_of(http, self.fspiop.source)
        is_state_query = dfsp_limits.is_state_query(method, self.resource)
        is_callback = method in CALLBACKS
        callback_to = (queries.known_id(self.fspiop.destination or "") or 0) if is_callback else None
        dfsp_limits.enter(self.caller, self.fspiop.source, is_state_query=is_state_query, callback_to=callback_to)
        self._is_counted = True
        if length is not None:
            dfsp_limits.check_large_body(self.caller, self.fspiop.source, length)
        if callback_to == 0 and settings.DFSP_RATE and self.fspiop.destination:
            queries.id_of(self.fspiop.destination)  # caches the id, so that the next callback counts for this recipient
        if self.sends_messages and method not in CALLBACKS:
            dfsp_limits.check_backlog(self.caller, self.fspiop.source, self.fspiop.source)
        if self.is_bulk:
            if is_callback:
                self._end_bulk = self.bulks.enter_answer(self.caller, self.fspiop.source, self._payer())
            else:
                self._end_bulk = self.bulks.enter(self.caller, self.fspiop.source)
        self._unread = 0
        used = time.thread_time()
        try:
            self.raw_body = request_body.body_of(http, length, most)
        finally:  # the time in which the body arrives does not count
            self._bulk_began = time.monotonic() - (time.thread_time() - used)
        if length is None:
            dfsp_limits.check_large_body(self.caller, self.fspiop.source, len(self.raw_body))
        self.signed_uri = signatures.check(
            http, self.resource, self.fspiop, self.raw_body, self.caller, forwarded=self.forwarded_headers
        )

    def _payer(self) -> int | None:
        """Returns the id of the participant in FSPIOP-Destination. Returns None if the header is missing, or if there
        is no such participant."""
        return queries.id_of(self.fspiop.destination) if self.fspiop.destination else None

    def read_headers(self, method: str, header: Callable[[str], str | None]) -> Headers:
        """Reads and checks the API's headers. If a header is wrong, raises FspiopError with the header's name."""
        return read_headers(method, self.resource, header)

    def check_date(self) -> None:
        """Raises FspiopError if the Date differs from the hub's clock by more than DATE_TOLERANCE_S."""
        tolerance = settings.DATE_TOLERANCE_S
        if tolerance and abs((datetime.now(UTC) - self.fspiop.date).total_seconds()) > tolerance:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"date: more than {tolerance} s from the hub's clock")

    def check_room_at(self, destination: str) -> None:
        """Raises FspiopError 2005 (429) if the caller has caused too many messages, and these messages still wait for
        the destination. Callbacks are exempt."""
        if self.request.method not in CALLBACKS:
            dfsp_limits.check_backlog(self.caller, self.fspiop.source, destination)

    def get_exception_handler(self) -> Any:
        return errors.exception_handler

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        response = errors.response_for(errors.as_fspiop(exc))
        if isinstance(exc, exceptions.MethodNotAllowed):  # RFC 9110, section 15.5.6
            response["Allow"] = ", ".join(sorted(each for each in METHODS if hasattr(self, each.lower())))
        return response

    def read(self, kind: type[T]) -> T:
        """Returns the body as a typed message. Raises FspiopError 3100 to 3103 for a faulty body."""
        if self._is_iso20022:
            message = iso20022.read(kind, self.raw_body, self.resource, check=whole_minor_units.check_message)
        else:
            message = bodies.convert(kind, self._json)
        # If the body does not contain the word "null", no element is null. So only a few bodies need the check.
        if b"null" in self.raw_body:
            bodies.check_no_null(strictjson.loads(self.raw_body) if self._is_iso20022 else self._json)
        if not self._is_iso20022:
            whole_minor_units.check_message(message)
        self._is_readable = True
        return message

    def digest(self) -> bytes:
        """Returns a digest of the message. The digest does not depend on the spelling of the message, such as the
        spaces in JSON."""
        content = iso20022.content(self.raw_body) if self._is_iso20022 else self._json
        return strictjson.digest(content)

    def forwarded_headers(self) -> dict[str, str]:
        """Returns the received headers that the hub forwards. Leaves out empty headers, because the receiver would not
        get them."""
        found = {}
        for name in FORWARDED:
            value = self._header(name)
            if value:
                found[name] = value
        if self.request.method in ("PUT", "PATCH"):
            found.pop("accept", None)
        return found

    @cached_property
    def _json(self) -> object:
        return strictjson.loads(self.raw_body)

    @cached_property
    def _is_iso20022(self) -> bool:
        version = self.fspiop.content_version
        return version is not None and version.is_iso20022 and resources.has_iso20022_bodies(self.resource)

    @property
    def content_version(self) -> str:
        return str(self.fspiop.content_version) if self.fspiop.content_version else "1.1"

    @property
    def accepted_version(self) -> str:
        return str(self.fspiop.accept_version) if self.fspiop.accept_version else self.content_version

    @property
    def requester(self) -> Recipient:
        """The caller as a recipient of callbacks, with the API version that the caller accepts."""
        return Recipient(self.caller, self.fspiop.source, self.accepted_version)


def accepted() -> HttpResponse:
    """Responds with 202, because the answer follows as a callback."""
    return empty(202)


def taken() -> HttpResponse:
    """Responds with 200, because the hub has accepted a callback."""
    return empty(200)


def empty(status: int) -> HttpResponse:
    """Returns a response without a body."""
    response = HttpResponse(status=status)
    del response["Content-Type"]
    response["Content-Length"] = "0"
    return response
