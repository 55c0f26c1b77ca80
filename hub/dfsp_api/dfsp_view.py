"""The base class of the views of the hub's own API for DFSPs. The class authenticates callers in the same way as the
FSPIOP API. Bodies are plain JSON."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from email.message import Message
from typing import Any, ClassVar, TypeVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from fspiop import bodies, headers
from fspiop.errors import ErrorCode, FspiopError
from fspiop.headers import Headers
from hub.api import dfsp_limits
from hub.api.bulk_concurrency import Bulks
from hub.api.views import FspiopView
from hub.concurrency_shares import NoPlace, Places, Sizes
from hub.participants.models import Participant

T = TypeVar("T")

_WITH_BODY = frozenset({"POST", "PUT"})
# One process runs only a few of these requests at the same time, and at most two requests of the same DFSP. Together,
# these requests use less than half of the database connections. This limit matters because a request keeps its
# connection while it waits for a lock.
_WORKERS = Sizes(most=8, shared=4, share=1, waiting=24, waiting_share=2)
_WAIT_S = 2.0

_working = Places()


class DfspView(FspiopView):
    """The base class of a view for a resource of the hub's own API for DFSPs. `caller` is the id of the participant
    that sent the request. The response contains only this participant's data. If `is_bulk` is true, only a few requests
    of one DFSP run at the same time. These requests also get only a limited part of the process's time.
    """

    resource: ClassVar[str] = "dfsp"
    sends_messages: ClassVar[bool] = False
    is_bulk: ClassVar[bool] = True
    bulks: ClassVar[Bulks] = dfsp_limits.own_api

    _place: ExitStack | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            if self._place is not None:
                self._place.close()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.is_bulk:
            self._place = ExitStack()
            try:
                self._place.enter_context(_working.taken(self.caller, _WORKERS, wait_s=_WAIT_S))
            except NoPlace:
                detail = "too many requests to this API at the same time"
                raise FspiopError(ErrorCode.SERVER_BUSY, detail, http_status=429) from None
            self._bulk_began = time.monotonic()  # the earlier time does not count: the request only waited

    def read_headers(self, method: str, header: Callable[[str], str | None]) -> Headers:
        found = headers.read_common_headers(header)
        if method in _WITH_BODY and _media_type(header("content-type") or "") != "application/json":
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-type: must be application/json")
        return found

    def body(self, kind: type[T]) -> T:
        """Returns the body as a typed message. Raises FspiopError 3100 to 3103 for a faulty body."""
        return bodies.read(kind, self.raw_body)

    def query(self, kind: type[T]) -> T:
        """Returns the query as a typed message. Raises FspiopError 3100 to 3103 for a faulty parameter."""
        return bodies.read_query(kind, dict(self.request.query_params.lists()))

    @property
    def participant(self) -> Participant:
        return Participant.objects.get(pk=self.caller)


def answer(content: Any, *, status: int = 200, further: Mapping[str, str] | None = None) -> HttpResponse:
    """Returns a response with this typed message as its body. `further` contains additional headers."""
    return plain_answer(bodies.write(content), "application/json", status=status, further=further)


def plain_answer(
    raw: bytes, content_type: str, *, status: int = 200, further: Mapping[str, str] | None = None
) -> HttpResponse:
    """Returns a response with these bytes as its body. Forbids caches between the hub and the DFSP to store the
    response."""
    length = {} if status == 304 else {"Content-Length": str(len(raw))}
    usual = {"Cache-Control": "private, no-cache", **length}
    return HttpResponse(raw, status=status, content_type=content_type, headers=usual | dict(further or {}))


def _media_type(text: str) -> str:
    message = Message()
    message["content-type"] = text
    return message.get_content_type() if text else ""
