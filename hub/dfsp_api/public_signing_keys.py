"""The public signing keys of the hub and of all participants, as the hub's own API for DFSPs returns them."""

import hashlib
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from fspiop import jws, keys_and_certificates, time
from fspiop.errors import ErrorCode, FspiopError
from hub.dfsp_api.bodies import SigningKey
from hub.participants.models import Credential


def signing_keys(*, caller: int, participant: str | None = None) -> list[SigningKey]:
    """Returns the keys of all active participants and of the caller, including keys that become valid later. The
    function runs only one SQL statement."""
    found = [] if participant not in (None, settings.HUB_NAME) else _of_hub()
    rows = Credential.objects.filter(
        Q(participant__is_active=True) | Q(participant_id=caller),
        kind=Credential.Kind.SIGNING_KEY,
        revoked_at__isnull=True,
        valid_until__gt=Now(),
        participant__closed_at__isnull=True,
    )
    if participant is not None:
        rows = rows.filter(participant__name=participant)
    values = rows.order_by("participant__name", "valid_from", "id").values_list(
        "sha256", "pem", "valid_from", "valid_until", "participant__name"
    )
    return found + [
        SigningKey(
            participant=name,
            key_id=sha256,
            key=pem,
            valid_from=time.format_datetime(valid_from),
            valid_until=time.format_datetime(valid_until),
        )
        for sha256, pem, valid_from, valid_until, name in values
    ]


def _of_hub() -> list[SigningKey]:
    place = settings.HUB_SIGNING_KEY_FILE
    if not place:
        return []
    try:
        pem, key_id = _public_part(place, Path(place).stat().st_mtime_ns)
    except (OSError, ValueError):
        raise FspiopError(ErrorCode.SERVICE_UNAVAILABLE, "the hub's signing key cannot be read") from None
    return [SigningKey(participant=settings.HUB_NAME, key_id=key_id, key=pem)]


@lru_cache(maxsize=4)
def _public_part(place: str, changed_ns: int) -> tuple[str, str]:
    key = jws.load_private_key(Path(place).read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return keys_and_certificates.public_pem(key), hashlib.sha256(der).hexdigest()
