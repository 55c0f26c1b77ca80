"""Each process's cache of all participants' credentials. The process checks requests against a snapshot of the
credentials, and refreshes the snapshot within `CREDENTIALS_REFRESH_S` seconds. So a revocation takes effect in every
process within this time.
"""

import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models.functions import Now

from fspiop import jws
from hub.participants.models import AllowedNetwork, Credential, Participant
from hub.recordings import recorder

log = structlog.get_logger("security")

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_REFRESHED_AT = 0.75  # after this part of the refresh time, a request refreshes the snapshot
_TOO_OLD = 5  # while the database is down: the largest age of a usable snapshot, as a multiple of the refresh time
_TRY_AGAIN_S = 1.0  # pause after a failed read


@dataclass(frozen=True, slots=True)
class Known:
    """A credential that was not revoked at the time of the snapshot."""

    participant_id: int
    sha256: str
    valid_from: float
    valid_until: float

    def is_valid(self) -> bool:
        return self.valid_from <= time.time() < self.valid_until


@dataclass(slots=True)
class Snapshot:
    """All credentials. The keys of the mappings are the values that requests contain."""

    taken_at: float
    certificates: dict[str, Known] = field(default_factory=dict)  # the key is the SHA-256 of the certificate's DER
    clients: dict[str, Known] = field(default_factory=dict)  # the key is the OAuth2 client's key
    keys: dict[int, list[tuple[Known, RSAPublicKey]]] = field(default_factory=lambda: defaultdict(list))
    networks: dict[int, list[Network]] = field(default_factory=lambda: defaultdict(list))
    compat: frozenset[int] = frozenset()  # participants that are allowed to sign re-serialised JSON
    recorded: tuple[recorder.Recorded, ...] = ()  # DFSPs whose requests are recorded

    def by_certificate(self, sha256: str) -> Known | None:
        known = self.certificates.get(sha256)
        return known if known is not None and known.is_valid() else None

    def by_client(self, client_key: str) -> Known | None:
        known = self.clients.get(client_key)
        return known if known is not None and known.is_valid() else None

    def keys_of(self, participant_id: int) -> list[RSAPublicKey]:
        """Returns the keys with which this participant may sign now."""
        return [key for known, key in self.keys.get(participant_id, ()) if known.is_valid()]

    def may_call_from(self, participant_id: int, address: Address | None) -> bool:
        """Returns whether this participant is allowed to send requests from this address. Without a list of networks,
        every address is allowed.
        """
        listed = self.networks.get(participant_id)
        if listed is None:
            return True
        return address is not None and any(address in network for network in listed)


_lock = threading.Lock()
_snapshot: Snapshot | None = None
_parsed: dict[str, RSAPublicKey] = {}  # maps SHA-256 hashes to parsed public keys, because parsing a PEM is slow
_down_until = 0.0


def current() -> Snapshot:
    """Returns a snapshot of all credentials, at most `CREDENTIALS_REFRESH_S` seconds old. While the database is down,
    the snapshot can be up to five times as old. After that, the function raises DatabaseError."""
    global _snapshot, _down_until
    found, now = _snapshot, time.monotonic()
    refresh: float = settings.CREDENTIALS_REFRESH_S
    age = now - found.taken_at if found is not None else math.inf
    if found is not None and age < refresh * _REFRESHED_AT:
        return found
    # One request refreshes the snapshot. Until the old snapshot expires, other requests use it. After that, they wait
    # for the new snapshot.
    if not _lock.acquire(blocking=age >= refresh):
        assert found is not None
        return found
    try:
        if _snapshot is not None and _snapshot is not found:
            return _snapshot  # another thread has already refreshed the snapshot
        may_be_used = age < refresh * _TOO_OLD
        if time.monotonic() >= _down_until:
            try:
                _snapshot = _load()
                return _snapshot
            except (DatabaseError, InterfaceError):
                _down_until = time.monotonic() + _TRY_AGAIN_S
                if not may_be_used:
                    raise
        if may_be_used and found is not None:
            return found
        raise OperationalError("the credentials cannot be read")
    finally:
        _lock.release()


def recorded() -> tuple[recorder.Recorded, ...]:
    """Returns the DFSPs whose requests the hub records at present. Makes no query."""
    return _snapshot.recorded if _snapshot is not None else ()


def forget() -> None:
    """Makes the process read the credentials from the database at the next request."""
    global _snapshot, _down_until
    _snapshot, _down_until = None, 0.0


def _load() -> Snapshot:
    snapshot = Snapshot(time.monotonic())
    rows = Credential.objects.filter(revoked_at__isnull=True, valid_until__gt=Now()).order_by("-valid_from", "-id")
    for participant_id, kind, sha256, label, pem, valid_from, valid_until in rows.values_list(
        "participant_id", "kind", "sha256", "label", "pem", "valid_from", "valid_until"
    ):
        known = Known(participant_id, sha256, valid_from.timestamp(), valid_until.timestamp())
        if kind == Credential.Kind.CERTIFICATE:
            snapshot.certificates[sha256] = known
        elif kind == Credential.Kind.CLIENT:
            snapshot.clients[label] = known
        else:
            key = _key(sha256, pem)
            if key is not None:
                snapshot.keys[participant_id].append((known, key))
    for participant_id, text in AllowedNetwork.objects.values_list("participant_id", "network"):
        listed = snapshot.networks[participant_id]  # creates the list: with only invalid entries, it allows no address
        network = _network(text)
        if network is not None:
            listed.append(network)
    snapshot.compat = frozenset(Participant.objects.filter(jws_compat=True).values_list("id", flat=True))
    snapshot.recorded = recorder.now_recorded()
    return snapshot


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:  # one participant's invalid row must not lock out other participants
        log.error("network_can_not_be_read", network=text)
        return None


def _key(sha256: str, pem: str) -> RSAPublicKey | None:
    if sha256 not in _parsed:
        try:
            _parsed[sha256] = jws.load_public_key(pem.encode())
        except ValueError as error:  # one participant's invalid row must not lock out other participants
            log.error("signing_key_can_not_be_read", sha256=sha256, why=str(error))
            return None
    return _parsed[sha256]
