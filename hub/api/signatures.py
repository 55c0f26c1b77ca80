"""FSPIOP-Signature at the doorway: over the octets that came, and the method and path that were really asked.

`SIGNATURES` says what is wanted: "required", "checked" (one that is there must be right) or "ignored". GET and DELETE
have no body and are not signed (API Signature v1.1, section 3; the reference's libraries can not). A DELETE changes
something all the same: where neither certificate nor token says whose it is, it must be signed, over no octets.
"""

from urllib.parse import unquote

import structlog
from django.conf import settings
from django.http import HttpRequest

from fspiop import jws
from fspiop.errors import ErrorCode, FspiopError
from fspiop.headers import Headers
from hub.participants import registry

log = structlog.get_logger("security")

_SIGNED = frozenset({"POST", "PUT", "PATCH"})


def check(request: HttpRequest, resource: str, headers: Headers, body: bytes, participant_id: int) -> None:
    """FspiopError 3105 unless the participant signed this very request, where it must or says that it did."""
    if settings.SIGNATURES == "ignored":
        return
    try:
        if headers.signature is not None:
            _verify(request, headers.signature, body, participant_id)
        elif settings.SIGNATURES == "required" and _must_be_signed(request.method or "", resource):
            raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-signature is missing")
    except FspiopError as error:
        log.warning("signature_refused", source=headers.source, method=request.method, why=error.description)
        raise


def _must_be_signed(method: str, resource: str) -> bool:
    if method == "PUT" and resource == "parties":
        return not settings.ALLOW_UNSIGNED_PUT_PARTIES
    if method == "DELETE":
        return not settings.PARTICIPANT_AUTH
    return method in _SIGNED


def _verify(request: HttpRequest, signature: str, body: bytes, participant_id: int) -> None:
    known = registry.current()
    keys = known.keys_of(participant_id)
    if not keys:
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "no valid signing key is registered")
    headers = {name[5:].replace("_", "-").lower(): value for name, value in request.META.items() if name[:5] == "HTTP_"}
    headers["content-type"] = request.META.get("CONTENT_TYPE", "")
    headers["content-length"] = request.META.get("CONTENT_LENGTH", "")
    method, uri = request.method or "", _uri_of(request, headers.get("fspiop-uri", ""))
    if participant_id in known.compat:
        form = jws.verify_compat(signature, body, keys=keys, method=method, uri=uri, headers=headers)
        if form != "raw":
            log.info("signature_over_other_octets", source=headers["fspiop-source"], form=form)
    else:
        jws.verify(signature, body, keys=keys, method=method, uri=uri, headers=headers)


def _uri_of(request: HttpRequest, told: str) -> str:
    """The request's path and query, written as its sender wrote them.

    A WSGI server gives the path decoded. What is told to be signed must decode to it: then both name the resource
    that the hub acts on, and the signature is compared with what is told.
    """
    path, question_mark, query = told.partition("?")
    real_query: str = request.META.get("QUERY_STRING", "")
    try:
        is_same = unquote(path, errors="strict") == request.path_info and query == real_query
    except UnicodeDecodeError:
        is_same = False
    if is_same and bool(question_mark) == bool(real_query):
        return told
    raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-uri is not the request's")
