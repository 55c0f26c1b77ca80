"""FSPIOP-Signature at the doorway: over the octets, the method, the path and the headers that the hub forwards.

The receiver verifies the signature again, so one that would fail there is refused here.

`SIGNATURES` says what is wanted: "required", "checked" (one that is there must be right) or "ignored". GET and DELETE
have no body and are not signed (API Signature v1.1, section 3; the reference's libraries can not). A DELETE changes
something all the same: where neither certificate nor token says whose it is, it must be signed, over no octets.
"""

from collections.abc import Callable, Mapping

import structlog
from django.conf import settings
from django.http import HttpRequest

from fspiop import jws, paths
from fspiop.errors import ErrorCode, FspiopError
from fspiop.headers import Headers
from hub.participants import credential_cache

log = structlog.get_logger("security")

_SIGNED = frozenset({"POST", "PUT", "PATCH"})
_WITH_ALIAS = frozenset({"participants", "parties"})  # senders encode an alias in a path in different ways
_QUERY_FORWARDED = frozenset({("GET", "parties"), ("GET", "authorizations")})
_ENDS_HERE = "participants"  # the hub forwards none of it


def check(
    request: HttpRequest,
    resource: str,
    headers: Headers,
    body: bytes,
    participant_id: int,
    *,
    forwarded: Callable[[], Mapping[str, str]],
) -> str | None:
    """FspiopError 3105 if a required signature is missing, or one that is there does not fit this request.

    Returns the signed URI, None without a signature. `forwarded` gives the headers that are forwarded with the message.
    """
    if settings.SIGNATURES == "ignored":
        return None
    try:
        if headers.signature is not None:
            return _verify(request, resource, headers, body, participant_id, forwarded())
        if settings.SIGNATURES == "required" and _must_be_signed(request.method or "", resource):
            raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-signature is missing")
        return None
    except FspiopError as error:
        log.warning("signature_refused", source=headers.source, method=request.method, why=error.description)
        raise


def _must_be_signed(method: str, resource: str) -> bool:
    if method == "PUT" and resource == "parties":
        return not settings.ALLOW_UNSIGNED_PUT_PARTIES
    if method == "DELETE":
        return not settings.PARTICIPANT_AUTH
    return method in _SIGNED


def _verify(
    request: HttpRequest,
    resource: str,
    headers: Headers,
    body: bytes,
    participant_id: int,
    forwarded: Mapping[str, str],
) -> str:
    known = credential_cache.current()
    keys = known.keys_of(participant_id)
    if not keys:
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "no valid signing key is registered")
    assert headers.signature is not None
    method, uri = request.method or "", _uri_of(request, resource, headers.uri or "")
    # A signature may protect what the receiver gets unchanged: the forwarded headers and the length of the body.
    protectable = {**forwarded, "content-length": str(len(body))}
    if participant_id in known.compat:
        form = jws.verify_compat(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
        if form != "raw":
            log.info("signature_over_other_octets", source=headers.source, form=form)
    else:
        jws.verify(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
    return uri


def _uri_of(request: HttpRequest, resource: str, told: str) -> str:
    """FSPIOP-URI, if it is the URI to which the hub forwards the message, octet for octet.

    A WSGI server gives the decoded path, so the encoding of the request is not known. The hub forwards in one encoding;
    only a path with an alias is forwarded as its sender encoded it.
    """
    path, question_mark, query = told.partition("?")
    real_query: str = request.META.get("QUERY_STRING", "")
    if resource in _WITH_ALIAS:
        is_same = paths.encodes(path, request.path_info)
    else:
        is_same = path == paths.path_of(*request.path_info.split("/")[1:])
    if not is_same or query != real_query or bool(question_mark) != bool(real_query):
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-uri is not the request's")
    is_forwarded = (request.method, resource) in _QUERY_FORWARDED or resource == _ENDS_HERE
    if query and not (is_forwarded and paths.is_query(query)):
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-uri has a query that is not forwarded")
    return told
