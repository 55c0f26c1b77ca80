"""Checks FSPIOP-Signature over the received bytes, the method, the path and the headers that the hub forwards.

The receiver of the message verifies the signature again. So the hub refuses each signature that the receiver would
refuse.

`SIGNATURES` is "required", "checked" or "ignored". With "checked", a message without a signature is accepted, but a
wrong signature is refused. In the API, GET and DELETE have no body and no signature (API Signature v1.1, section 3).
The libraries of the reference hub cannot sign GET and DELETE. But a DELETE changes data. So if `PARTICIPANT_AUTH`
requires no credentials, a DELETE must have a signature over an empty body.
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
_WITH_ALIAS = frozenset({"participants", "parties"})  # different senders encode the same alias differently
_QUERY_FORWARDED = frozenset({("GET", "parties"), ("GET", "authorizations")})
_ENDS_HERE = "participants"  # the hub does not forward messages of this resource


def check(
    request: HttpRequest,
    resource: str,
    headers: Headers,
    body: bytes,
    participant_id: int,
    *,
    forwarded: Callable[[], Mapping[str, str]],
) -> str | None:
    """Raises FspiopError 3105 if a required signature is missing, or if the request's signature is wrong.

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
    # A sender can sign the forwarded headers and the body's length, because the receiver gets them unchanged.
    protectable = {**forwarded, "content-length": str(len(body))}
    if participant_id in known.compat:
        form = jws.verify_compat(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
        if form != "raw":
            log.info("signature_over_other_octets", source=headers.source, form=form)
    else:
        jws.verify(headers.signature, body, keys=keys, method=method, uri=uri, headers=protectable)
    return uri


def _uri_of(request: HttpRequest, resource: str, told: str) -> str:
    """Returns the value of FSPIOP-URI if the hub forwards the message to exactly this URI. A WSGI server provides only
    the decoded path, so the hub cannot see how the sender encoded the path. If the path has an alias, the hub forwards
    the message with the encoding in FSPIOP-URI. Otherwise the hub uses its own percent-encoding.
    """
    path, question_mark, query = told.partition("?")
    real_query: str = request.META.get("QUERY_STRING", "")
    if resource in _WITH_ALIAS:
        is_same = paths.encodes(path, request.path_info)
    else:
        is_same = path == paths.path_of(*request.path_info.split("/")[1:])
    if not is_same or query != real_query or bool(question_mark) != bool(real_query):
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-uri is not the URI of this request")
    is_forwarded = (request.method, resource) in _QUERY_FORWARDED or resource == _ENDS_HERE
    if query and not (is_forwarded and paths.is_query(query)):
        raise FspiopError(ErrorCode.INVALID_SIGNATURE, "fspiop-uri has a query that is not forwarded")
    return told
