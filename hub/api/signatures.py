"""Checks FSPIOP-Signature over the received bytes, the method, the path and the headers that the hub forwards.

The receiver of the message verifies the signature again. So the hub refuses a signature that would fail at the receiver
of the message.

`SIGNATURES` is "required", "checked" (a present signature must be valid) or "ignored". In the API, GET and DELETE have
no body and no signature (API Signature v1.1, section 3). The libraries of the reference hub cannot sign GET and DELETE.
A DELETE changes data, although the libraries of the reference hub do not sign it. If neither a certificate nor a token
proves the sender of a DELETE, the sender must sign the DELETE with an empty body.
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
_WITH_ALIAS = frozenset({"participants", "parties"})  # the encoding of an alias in a path differs between senders
_QUERY_FORWARDED = frozenset({("GET", "parties"), ("GET", "authorizations")})
_ENDS_HERE = "participants"  # the hub forwards no such message


def check(
    request: HttpRequest,
    resource: str,
    headers: Headers,
    body: bytes,
    participant_id: int,
    *,
    forwarded: Callable[[], Mapping[str, str]],
) -> str | None:
    """Raises FspiopError 3105 if a required signature is missing, or if a signature does not fit this request.

    Returns the signed URI, or None if the request has no signature. The argument `forwarded` is a function that returns
    the headers that the hub forwards with the message.
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
    # A signature may protect all data that the receiver gets unchanged: forwarded headers and the body's length.
    protectable = {**forwarded, "content-length": str(len(body))}
    if participant_id in known.compat:
        form = jws.verify_compat(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
        if form != "raw":
            log.info("signature_over_other_octets", source=headers.source, form=form)
    else:
        jws.verify(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
    return uri


def _uri_of(request: HttpRequest, resource: str, told: str) -> str:
    """Returns FSPIOP-URI if it is exactly the URI to which the hub forwards the message.

    A WSGI server provides only the decoded path, so the hub cannot see how the sender encoded the path. The hub writes
    a path without an alias in its own percent-encoding. In a path with an alias, the hub keeps the sender's encoding.
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
