"""Reads the version of a message, and the version that the sender accepts for the answer (FSPIOP API v1.1, section
3.3.4).

Each resource of the API has its own versions. The reference hub accepts the versions 1.0, 1.1 and 2.0 of each resource.
For five resources, version 2.0 has a second form. The bodies of the second form are ISO 20022 messages, and the media
types name ISO 20022. For a sixth resource (/participants), the media type can name ISO 20022, but the bodies are in the
plain form.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from fspiop.errors import ErrorCode, FspiopError
from fspiop.resources import RESOURCES, Iso20022

_ISO20022_MARK = "i"


class Version(NamedTuple):
    """The version of a resource in a message. The text of a version is for example "1.1", or "2.0i" if bodies are ISO
    20022 messages."""

    major: int
    minor: int
    is_iso20022: bool = False

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}{_ISO20022_MARK if self.is_iso20022 else ''}"


def is_iso20022(version_text: str) -> bool:
    """Returns whether the bodies of this version are ISO 20022 messages."""
    return version_text.endswith(_ISO20022_MARK)


ISO20022 = Version(2, 0, is_iso20022=True)
_ALL = (Version(1, 0), Version(1, 1), Version(2, 0))
SUPPORTED: Mapping[str, tuple[Version, ...]] = MappingProxyType(
    {
        name: tuple(version for version in _ALL if version.major >= resource.first_version)
        for name, resource in RESOURCES.items()
    }
)

_MOST_CHARACTERS = 512  # the longest Content-Type or Accept header, so that the caches below stay small
_NUMBER = "[0-9]{1,3}"
_CHARSET = r"""(?:[ ]?;[ ]?charset=(?:utf-8|"utf-8"))?"""
_MEDIA_TYPES = {
    name: (r"application/vnd\.interoperability" + ("()" if resource.iso20022 is Iso20022.NOTHING else r"(\.iso20022)?"))
    + rf"\.{name}\+json"
    for name, resource in RESOURCES.items()
}
_CONTENT_TYPES = {
    resource: re.compile(
        rf"{_MEDIA_TYPES[resource]}[ ]?;[ ]?version=({_NUMBER})\.({_NUMBER}){_CHARSET}\Z",
        re.IGNORECASE | re.ASCII,
    )
    for resource in SUPPORTED
}
_ACCEPTED_TYPES = {
    resource: re.compile(
        rf"{_MEDIA_TYPES[resource]}"
        rf"(?:[ ]?;[ ]?version=({_NUMBER})(?:\.({_NUMBER}))?)?{_CHARSET}(?:[ ]?;[ ]?q=[01](?:\.[0-9]{{1,3}})?)?\Z",
        re.IGNORECASE | re.ASCII,
    )
    for resource in SUPPORTED
}


def read_content_type(text: str | None, resource: str) -> Version:
    """Reads the version of a message from its Content-Type."""
    if text is None:
        raise missing_header("content-type")
    if len(text) > _MOST_CHARACTERS:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "Invalid content-type header")
    return _read_content_type(text, resource)


def read_accept(text: str | None, resource: str) -> Version:
    """Reads the version that the sender accepts for the answer: the first supported version in the Accept header.

    A major version without a minor version means the newest minor version. An Accept header without a version means the
    resource's newest version.
    """
    if text is None:
        raise missing_header("accept")
    if len(text) > _MOST_CHARACTERS:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "Invalid accept header")
    return _read_accept(text, resource)


def content_type(resource: str, version: Version | str) -> str:
    """Returns the Content-Type header of a message."""
    text = str(version)
    dialect = "iso20022." if is_iso20022(text) else ""
    return f"application/vnd.interoperability.{dialect}{resource}+json;version={text.removesuffix(_ISO20022_MARK)}"


def accept(resource: str, version: Version | int) -> str:
    """Returns the Accept header of a request. If a version is an int, the int is a major version, and all minor
    versions of this major version are allowed."""
    if isinstance(version, Version) and version.is_iso20022:
        return f"application/vnd.interoperability.iso20022.{resource}+json;version={version.major}"
    return f"application/vnd.interoperability.{resource}+json;version={version}"


# Senders repeat the same few header texts, so the results are cached. Only valid texts are cached, because exceptions
# are not cached.
@lru_cache(maxsize=256)
def _read_content_type(text: str, resource: str) -> Version:
    found = _CONTENT_TYPES[resource].match(text)
    if found is None:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, _fault_of(text, resource))
    version = Version(int(found[2]), int(found[3]), is_iso20022=bool(found[1]))
    supported = _supported(resource, version.is_iso20022)
    if version not in supported:
        raise _unsupported("Client supplied a protocol version which is not supported by the server", supported)
    return version


def _supported(resource: str, iso20022: bool) -> tuple[Version, ...]:
    return (ISO20022,) if iso20022 else SUPPORTED[resource]


def _fault_of(content_type: str, resource: str) -> str:
    # For transactionRequests, the reference hub first checks that the body is JSON, and then checks the version.
    is_json = content_type.partition(";")[0].strip().lower().endswith("json")
    return (
        "Unsupported Media Type" if resource == "transactionRequests" and not is_json else "Invalid content-type header"
    )


@lru_cache(maxsize=256)
def _read_accept(text: str, resource: str) -> Version:
    pattern = _ACCEPTED_TYPES[resource]
    wishes = [found for part in text.split(",") if (found := pattern.match(part.strip(" "))) is not None]
    if not wishes:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "Invalid accept header")
    for wish in wishes:
        version = _newest(_supported(resource, bool(wish[1])), wish[2], wish[3])
        if version is not None:
            return version
    raise _unsupported(
        "The Client requested an unsupported version, see extension list for supported version(s).",
        _supported(resource, bool(wishes[0][1])),
    )


def _newest(supported: tuple[Version, ...], major: str | None, minor: str | None) -> Version | None:
    return max(
        (
            version
            for version in supported
            if (major is None or version.major == int(major)) and (minor is None or version.minor == int(minor))
        ),
        default=None,
    )


def missing_header(header: str, said_first: str = "") -> FspiopError:
    """Returns the error for a request that lacks this header. The error has the reference hub's text."""
    return FspiopError(ErrorCode.MISSING_ELEMENT, f"{said_first}/header must have required property '{header}'")


def _unsupported(detail: str, supported: tuple[Version, ...]) -> FspiopError:
    """Returns the error for an unsupported version (FSPIOP API v1.1, section 3.3.4.3). The error for an unsupported
    version lists the supported versions."""
    versions = [(str(version.major), str(version.minor)) for version in supported]
    return FspiopError(ErrorCode.UNACCEPTABLE_VERSION, detail, extensions=versions)
