"""The size and coding of a request, before anything is understood of it (FSPIOP API v1.1, section 3.2.1)."""

from django.conf import settings
from django.http import HttpRequest

from fspiop.errors import ErrorCode, FspiopError

MAX_HEAD_BYTES = 65_536
_NAME_AND_VALUE = len(": \r\n")


def check_head(request: HttpRequest) -> None:
    """Refuses headers of more than 64 KiB in all."""
    size = sum(
        len(name) + len(value) + _NAME_AND_VALUE for name, value in request.META.items() if name.startswith("HTTP_")
    )
    if size > MAX_HEAD_BYTES:
        raise FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {MAX_HEAD_BYTES} bytes of headers")


def body_of(request: HttpRequest) -> bytes:
    """The body's octets: of a known length or in chunks, never both, and never compressed."""
    meta = request.META
    if meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-encoding: must not be there")
    length = meta.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in meta:
        if length:  # two lengths, of which two readers may believe one each
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-length: must not stand beside transfer-encoding")
        return _chunks(request)
    if not (length.isascii() and length.isdecimal()):
        if length:
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "content-length: must be a number")
        return request.body
    if len(length) > 18 or int(length) > settings.MAX_BODY_BYTES:
        raise _too_large()
    return request.body


def _chunks(request: HttpRequest) -> bytes:
    # Django reads no further than CONTENT_LENGTH, which a body in chunks does not have.
    body: bytes = request.environ["wsgi.input"].read(settings.MAX_BODY_BYTES + 1)  # type: ignore[attr-defined]
    if len(body) > settings.MAX_BODY_BYTES:
        raise _too_large()
    return body


def _too_large() -> FspiopError:
    return FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, f"at most {settings.MAX_BODY_BYTES} bytes")
