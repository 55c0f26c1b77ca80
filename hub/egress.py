"""Limits the network addresses to which the hub connects. The hub must reach DFSPs and oracles, but never addresses in
its own network.

With `CALLBACK_PUBLIC_ONLY` (the default in production), the hub connects only to public addresses and to addresses in
`CALLBACK_ALLOW`. A scheme whose participants are in a private network needs `CALLBACK_ALLOW`. The hub checks the
resolved address when it creates the socket. So the check still works if a host name later resolves to another address.
The hub never follows an HTTP redirect.
"""

import functools
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fspiop.invalid_value_codes import Fault, InvalidValue

_PORTS = frozenset({80, 443})  # other ports below 1024 belong to other services
_FIRST_FREE_PORT = 1024
# Address ranges that have a special purpose in IANA's registries, but that some Python versions do not recognise. For
# IPv4, these are the protocol assignments and the 6to4 relays. For IPv6, all addresses outside of global unicast count
# as special, because some of these addresses contain IPv4 addresses.
_SPECIAL_IPV4 = tuple(IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
Address = IPv4Address | IPv6Address
SYSTEM_AUTHORITIES = ssl.get_default_verify_paths()
"""The operating system's file of trusted certificates."""


class AddressFault(Fault):
    """The reasons why the hub refuses to connect to an address."""

    NOT_ALLOWED = "this address is not public, or its port is not allowed; CALLBACK_ALLOW can list it"


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of CALLBACK_ALLOW: a network, and perhaps a port. Without a port, the entry allows all ports."""

    network: IPv4Network | IPv6Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in (None, port)


@functools.cache
def allowed(entries: tuple[str, ...]) -> tuple[Allowed, ...]:
    """Reads entries of CALLBACK_ALLOW such as "10.1.0.0/16", "10.1.2.3:8443" and "[fd00::7]:8443"."""
    return tuple(_entry(text.strip()) for text in entries)


def _entry(text: str) -> Allowed:
    host, port = text, None
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":") or None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        return Allowed(ipaddress.ip_network(host), None if port is None else int(port))
    except ValueError:
        raise ImproperlyConfigured(f"CALLBACK_ALLOW: {text!r} is neither a network nor address:port") from None


def may_connect(host: str, port: int) -> bool:
    """Returns whether the hub is allowed to open a socket to this numeric address and port."""
    if not settings.CALLBACK_PUBLIC_ONLY:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # for example "127.1" or "2130706433", which the operating system would read as addresses
    address = getattr(address, "ipv4_mapped", None) or address
    if any(entry.covers(address, port) for entry in allowed(tuple(settings.CALLBACK_ALLOW))):
        return True
    return _is_public(address) and _is_web_port(port)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        is_special = address not in _GLOBAL_UNICAST or any(address in network for network in _SPECIAL_IPV6)
    else:
        is_special = any(address in network for network in _SPECIAL_IPV4)
    if is_special:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def check_url(url: str) -> None:
    """Resolves the URL's host name. Raises ValueError if the hub is not allowed to connect to the port, or to one of
    the host's addresses."""
    if not settings.CALLBACK_PUBLIC_ONLY:
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not _may_use(port):
        raise InvalidValue(AddressFault.NOT_ALLOWED)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # the name has no address now; the hub checks each connection anyway
    if not all(may_connect(str(address[0]), port) for *_, address in found):
        raise InvalidValue(AddressFault.NOT_ALLOWED)


def _may_use(port: int) -> bool:
    """Returns whether the hub is allowed to use this port at one or more addresses."""
    listed = allowed(tuple(settings.CALLBACK_ALLOW))
    return _is_web_port(port) or any(entry.port in (None, port) for entry in listed)


def _is_web_port(port: int) -> bool:
    return port in _PORTS or port >= _FIRST_FREE_PORT
