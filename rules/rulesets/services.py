"""Changes the scheme's rules. Each change needs two people: see `portal.changes.rules`.

A new version does not judge payments yet. An activated version judges payments, either immediately or from a later
time.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.participants.models import Participant
from hub.sql_execution import execute
from rules.language.checks_of_well_formed_rules import accept, accept_text
from rules.language.parse import MOST_BYTES
from rules.language.rule_types import RuleSet
from rules.rulesets import active_rules, queries, sql_for_payments
from rules.rulesets.models import Activation, RuleSetVersion, Variance

LONGEST_VARIANCE = timedelta(days=366)


def check(document: object) -> RuleSet:
    """Reads a rule set. If there are faults, raises one RuleSetRefused that lists each fault with its place."""
    return accept(document)


def check_text(raw: bytes) -> RuleSet:
    """Reads a rule set from JSON text. If there are faults, raises one RuleSetRefused that lists each fault with its
    place."""
    return accept_text(raw)


def create_from_text(raw: bytes, *, actor: str) -> RuleSetVersion:
    """Stores a rule set from JSON text as a new version. Works like `create`."""
    check_text(raw)
    return create(json.loads(raw), actor=actor)


def text_of(version: RuleSetVersion) -> str:
    """Returns the rules of a version as JSON text. The text is small enough for `create_from_text`."""
    text = json.dumps(version.content, indent=2, ensure_ascii=False)
    if len(text.encode()) <= MOST_BYTES:
        return text
    return json.dumps(version.content, separators=(",", ":"), ensure_ascii=False)


@transaction.atomic
def create(document: Any, *, actor: str) -> RuleSetVersion:
    """Stores a rule set as a new version. If equal rules are already stored, returns the version of these rules.

    If there are faults, raises one RuleSetRefused that lists all faults.
    """
    rule_set = check(document)
    digest = hashlib.sha256(strictjson.canonical(document)).digest()
    # A person can press a button twice, so equal rules can arrive at the same time.
    values = {"language": rule_set.language, "name": rule_set.name, "content": document, "author": actor}
    version, is_new = RuleSetVersion.objects.get_or_create(digest=digest, defaults=values)
    if is_new:
        record("rules_created", subject=_subject(version.pk), actor=actor, after={"name": version.name})
    return version


def activation_terms(
    number: int | None,
    *,
    reason: str,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> dict[str, Any]:
    """Returns the payload of a request to activate a version, or to switch the rules off."""
    before = queries.active()
    return {
        "version": number,
        "digest": digest_of(number),
        "before": before.version_id if before else None,
        "from": valid_from.isoformat() if valid_from else None,
        "until": valid_until.isoformat() if valid_until else None,
        "reason": reason,
    }


def digest_of(number: int | None) -> str | None:
    """Returns the SHA-256 of a version's rules as hexadecimal digits, or None if the version does not exist."""
    version = queries.version(number) if number is not None else None
    return bytes(version.digest).hex() if version else None


@transaction.atomic
def activate(
    number: int | None,
    *,
    reason: str,
    actor: str,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> Activation:
    """Activates a version, either immediately or at a later time. The caller can limit the period of the activation.
    Without a version number, switches the rules off. Raises FspiopError if the activation is not possible.
    """
    if number is not None:
        _check_version(number)
    sql_for_payments.exclude_groups()
    now = _now()
    if valid_from is not None and valid_from < now:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the time from which the rules apply must not be in the past")
    begins = valid_from or now
    if valid_until is not None and valid_until <= begins:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the rules must end after they begin")
    before = queries.active()
    activation = Activation.objects.create(
        version_id=number, valid_from=begins, valid_until=valid_until, reason=reason, actor=actor
    )
    active_rules.notice()
    after = {"version": number, "from": begins.isoformat(), "until": valid_until and valid_until.isoformat()}
    record(
        "rules_activated",
        subject=_subject(number),
        actor=actor,
        before={"version": before.version_id if before else None},
        after={**after, "reason": reason},
    )
    return activation


def _check_version(number: int) -> None:
    try:
        active_rules.read(number)
    except active_rules.CannotBeRead as fault:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, str(fault)) from None
    except AssertionError:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"there is no version {number} of the rules") from None


@transaction.atomic
def cancel(activation_id: int, *, reason: str, actor: str) -> Activation:
    """Cancels an activation that has not begun."""
    sql_for_payments.exclude_groups()
    activation = Activation.objects.filter(pk=activation_id, cancelled_at__isnull=True).first()
    if activation is None or activation.valid_from <= _now():
        raise FspiopError(ErrorCode.CLIENT_ERROR, "these rules already apply, or their activation is cancelled")
    activation.cancelled_at = _now()
    activation.save(update_fields=["cancelled_at"])
    after = {"from": activation.valid_from.isoformat(), "reason": reason}
    record("rules_cancelled", subject=_subject(activation.version_id), actor=actor, after=after)
    return activation


@transaction.atomic
def grant_variance(rule: str, dfsp: str, *, until: datetime, reason: str, actor: str) -> Variance:
    """Exempts a DFSP's payments from a rule until a date. If the date is in the past, an existing exception ends now.

    Raises FspiopError if the DFSP does not exist, if no version has the rule, or if the exception would be too long.
    """
    if not Participant.objects.filter(name=dfsp, is_hub=False).exists():
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"{dfsp} is not a DFSP of this hub")
    if not RuleSetVersion.objects.filter(content__rules__contains=[{"id": rule}]).exists():
        raise FspiopError(ErrorCode.ID_NOT_FOUND, f"no version has a rule {rule}")
    sql_for_payments.exclude_groups()
    now = _now()
    if until > now + LONGEST_VARIANCE:
        raise FspiopError(
            ErrorCode.VALIDATION_ERROR, f"an exception ends after {LONGEST_VARIANCE.days} days at the latest"
        )
    variance = Variance.objects.create(rule=rule, dfsp=dfsp, until=max(until, now), reason=reason, actor=actor)
    after = {"rule": rule, "until": variance.until.isoformat(), "reason": reason}
    record("variance_granted", subject=dfsp, actor=actor, after=after)
    return variance


def _subject(number: int | None) -> str:
    return "no rules" if number is None else f"rules {number}"


def _now() -> datetime:
    row = execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
