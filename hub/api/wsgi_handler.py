"""A WSGI handler and a request class that leave out the parts of Django's work that a hub does not need.

For each request, Django's usual work takes more CPU time than the hub's own transaction for the message.
docs/decisions/0014 has the figures. The result of a request is the same as with Django's own handler.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connection
from django.utils.http import parse_header_parameters

from hub.api import middleware

_LONGEST_CONTENT_TYPE = 512  # Django's parser needs a second of CPU for a text of 100 KB
_parameters_of = lru_cache(maxsize=512)(parse_header_parameters)


def _content_type_of(text: str) -> tuple[str, dict[str, str]]:
    """Returns a content type and its parameters.

    If the text is too long or Django cannot read it, the function returns the result for a request without a content
    type.
    """
    if len(text) > _LONGEST_CONTENT_TYPE:
        return "", {}
    try:
        return _parameters_of(text)
    except ValueError:
        return "", {}


# Django's attributes for a body: its bytes, the read position, and the parsed forms.
_OF_THE_BODY = ("_body", "_stream", "_post", "_files")


class LeanRequest(WSGIRequest):
    """Parses each text of a content type once, because DFSPs send only a few different content types.

    Frees the body of a request when the request ends, even if other objects still refer to the request. For example, a
    page's request and Django's messages refer to each other.
    """

    def close(self) -> None:
        super().close()
        for name in _OF_THE_BODY:
            self.__dict__.pop(name, None)
        self.environ.pop("wsgi.input", None)  # granian closes the connection of a body that the hub does not read

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Django would read forms and queries in any Python encoding that `charset` names, even in encodings that are
        # not for text. The hub reads only UTF-8.
        self.content_type, parameters = _content_type_of(meta.get("CONTENT_TYPE", ""))
        self.content_params = dict(parameters)


class LeanHandler(WSGIHandler):
    """Django's handler. A DFSP's request and its response pass directly between the web server and the view, without
    middleware.

    The handler returns a complete response, so it has no work left after the server has sent the response.
    """

    request_class = LeanRequest

    def __init__(self) -> None:
        super().__init__()
        self._doors = middleware.DFSP_DOORS - middleware.closed_doors()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[override]
        first = middleware.door_of(environ["PATH_INFO"])
        if first not in self._doors:
            return super().__call__(environ, start_response)
        request = self.request_class(environ)
        try:
            response = middleware.answer(request, first)
        finally:
            request.close()
            connection.close_if_unusable_or_obsolete()  # returns the connection to the pool, if the process has a pool
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]
