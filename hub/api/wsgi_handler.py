"""A WSGI handler and a request class without the parts of Django that a hub does not need. With these parts, Django
would need more CPU time for a request than the hub needs for the message's database transaction (docs/decisions/0014).
The result of a request is the same as with Django's own handler.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connection
from django.utils.http import parse_header_parameters

from hub.api import dfsp_routing_middleware

_LONGEST_CONTENT_TYPE = 512  # for a text of 100 KB, Django's parser needs a second of CPU time
_parameters_of = lru_cache(maxsize=512)(parse_header_parameters)


def _content_type_of(text: str) -> tuple[str, dict[str, str]]:
    """Parses a Content-Type header into the content type and its parameters. If the text is too long or malformed, the
    result is the same as for a request without a Content-Type.
    """
    if len(text) > _LONGEST_CONTENT_TYPE:
        return "", {}
    try:
        return _parameters_of(text)
    except ValueError:
        return "", {}


# The attributes in which Django keeps the body: the bytes, the stream, and the parsed forms.
_OF_THE_BODY = ("_body", "_stream", "_post", "_files")


class LeanRequest(WSGIRequest):
    """A request whose Content-Type is parsed only once, because DFSPs send only a few different content types. The
    memory of the body is freed when the request ends, even if other objects still refer to the request. For example, a
    page's request and Django's messages refer to each other.
    """

    def close(self) -> None:
        super().close()
        for name in _OF_THE_BODY:
            self.__dict__.pop(name, None)
        self.environ.pop("wsgi.input", None)  # so granian closes the connection if the body is still unread

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Django would decode forms and queries with the codec that `charset` names. This can be any codec of Python,
        # even a codec that is not for text. The hub decodes only UTF-8.
        self.content_type, parameters = _content_type_of(meta.get("CONTENT_TYPE", ""))
        self.content_params = dict(parameters)


class LeanHandler(WSGIHandler):
    """Django's handler. This handler passes DFSPs' requests directly to the views, without Django's middleware.
    Responses to DFSPs are not streamed. So no work remains after the server has sent a response.
    """

    request_class = LeanRequest

    def __init__(self) -> None:
        super().__init__()
        self._doors = dfsp_routing_middleware.DFSP_DOORS - dfsp_routing_middleware.closed_doors()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[override]
        first = dfsp_routing_middleware.door_of(environ["PATH_INFO"])
        if first not in self._doors:
            return super().__call__(environ, start_response)
        request = self.request_class(environ)
        try:
            response = dfsp_routing_middleware.answer(request, first)
        finally:
            request.close()
            connection.close_if_unusable_or_obsolete()  # with a pool, this returns the connection to the pool
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]
