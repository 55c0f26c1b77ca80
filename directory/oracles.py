"""Adds, changes and removes the scheme's external oracles, with an entry in the audit trail for each change."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from directory.models import Oracle
from fspiop.errors import ErrorCode, FspiopError
from hub import egress
from hub.audit import record
from hub.participants import endpoint_types_and_urls


def add(*, alias_type: str, endpoint: str, currency: str, is_default: bool, actor: str) -> Oracle:
    """Registers an oracle. From now on, this oracle serves its alias type and currency, and the hub's own oracle no
    longer serves them."""
    check_endpoint(endpoint)
    oracle = Oracle(type=alias_type, endpoint=endpoint, currency=currency, is_default=is_default)
    return _save(oracle, "oracle_added", before=None, actor=actor)


def change(oracle_id: str, *, alias_type: str, endpoint: str, currency: str, is_default: bool, actor: str) -> Oracle:
    """Replaces an oracle's alias type, address, currency and default flag."""
    with transaction.atomic():
        oracle = _locked(oracle_id)
        if oracle is None:
            raise not_found()
        check_endpoint(endpoint)
        before = _shown(oracle)
        oracle.type, oracle.endpoint, oracle.currency, oracle.is_default = alias_type, endpoint, currency, is_default
        return _save(oracle, "oracle_changed", before=before, actor=actor)


@transaction.atomic
def remove(oracle_id: str, *, actor: str) -> None:
    """Removes an oracle. Does nothing if there is no oracle with this id."""
    oracle = _locked(oracle_id)
    if oracle is not None:
        record("oracle_removed", subject=str(oracle), actor=actor, before=_shown(oracle))
        oracle.delete()


def found(oracle_id: str) -> Oracle | None:
    """Returns the oracle whose id is in a request's path, or None."""
    return _found(oracle_id, Oracle.objects.all())


def not_found() -> FspiopError:
    return FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "Oracle not found")


def _locked(oracle_id: str) -> Oracle | None:
    return _found(oracle_id, Oracle.objects.select_for_update())


def _found(oracle_id: str, rows: "QuerySet[Oracle]") -> Oracle | None:
    if not (oracle_id.isascii() and oracle_id.isdecimal() and len(oracle_id) < 19):
        return None
    return rows.filter(pk=int(oracle_id)).first()


def terms_of(oracle: Oracle) -> dict[str, Any]:
    """Returns an oracle's alias type, address, currency and default flag in the form of a change request."""
    return {
        "type": oracle.type,
        "endpoint": oracle.endpoint,
        "currency": oracle.currency,
        "is_default": oracle.is_default,
    }


def check_endpoint(endpoint: str) -> None:
    """Raises 3100 if the hub does not allow this address for an oracle."""
    # If the address contained a placeholder, the hub would replace the placeholder by text that a DFSP chose.
    if not endpoint_types_and_urls.is_base(endpoint):
        raise FspiopError(
            ErrorCode.VALIDATION_ERROR, "endpoint.value: must be an http or https URL without user, query or spaces"
        )
    try:
        egress.check_url(endpoint)
    except ValueError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"endpoint.value: {error}") from None


def _save(oracle: Oracle, action: str, *, before: dict[str, Any] | None, actor: str) -> Oracle:
    try:
        with transaction.atomic():
            oracle.changed_at = Now()
            oracle.save()
            record(action, subject=str(oracle), actor=actor, before=before, after=_shown(oracle))
    except IntegrityError:
        # The code and the text are the same as in the reference hub, because clients check both.
        raise FspiopError(ErrorCode.INTERNAL_SERVER_ERROR, "Duplicate oracle for this type and currency") from None
    return oracle


def _shown(oracle: Oracle) -> dict[str, Any]:
    return {
        "type": oracle.type,
        "endpoint": oracle.endpoint,
        "currency": oracle.currency,
        "isDefault": oracle.is_default,
    }
