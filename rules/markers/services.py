"""Files fraud markers, lifts fraud markers, and stores appeals.

A DFSP can file a marker without an approval. A new marker is in force immediately. Only two people of the hub can lift
a marker. A database transaction can lift a marker only if the same transaction contains the approved request
(`lift_marker`).
"""

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.sql_execution import execute
from rules.alerts import services as alerts
from rules.alerts.services import Sighting
from rules.change_refused import NotChanged
from rules.lists import change_numbers
from rules.markers import queries
from rules.markers.models import Appeal, Marker
from rules.signals import token_buckets

LIFT = "lift_marker"
"""The kind of request in `hub.audit.approvals`."""
_DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The content of a DFSP's fraud marker about a party."""

    marker_id: str
    participant_id: int
    key: int
    kind: str
    reason: str
    transaction_id: str
    digest: bytes


def subject_of(marker: int) -> str:
    """Returns the subject of a request to lift this marker. A trigger in the database checks that the change matches
    this subject."""
    return f"marker {marker}"


# A DFSP can use a marker id only once. So a repeated request has no effect, even if both requests arrive at the same
# time.
_FILE = """
    INSERT INTO rules_markers_marker (marker_id, filed_by_id, key, kind, reason, transaction_id, digest, filed_at,
                                      lifted_by, lifted_because, change)
    VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), '', '', 0)
    ON CONFLICT DO NOTHING RETURNING id
"""
_NUMBER = "UPDATE rules_markers_marker SET change = %s WHERE id = %s"


@transaction.atomic
def file(report: Report) -> tuple[Marker, bool]:
    """Files a DFSP's marker. Returns the marker, and whether the marker is new. If the request is repeated, returns the
    earlier marker.

    Raises FspiopError 3106 if the DFSP has already used the id for a different marker. Raises FspiopError 2005, with
    HTTP status 429, if the DFSP exceeds its daily limit.
    """
    earlier = _earlier(report)
    if earlier is not None:
        return earlier, False
    _take_one(report.participant_id)
    row = execute(
        _FILE,
        [
            report.marker_id,
            report.participant_id,
            report.key,
            report.kind,
            report.reason,
            report.transaction_id,
            report.digest,
        ],
    ).fetchone()
    if row is None:
        found = _earlier(report)  # an equal request, which arrived at the same time, has filed this marker
        assert found is not None
        return found, False
    return _count(Marker.objects.select_related("filed_by").get(pk=row[0])), True


def _take_one(participant_id: int) -> None:
    most = float(settings.MARKERS_PER_DAY)
    if not token_buckets.take(participant_id, "markers", cost=1, most=most, per_s=most / _DAY_S):
        raise FspiopError(
            ErrorCode.SERVER_BUSY, f"at most {settings.MARKERS_PER_DAY} markers and appeals a day", http_status=429
        )


def _earlier(report: Report) -> Marker | None:
    found = Marker.objects.filter(filed_by=report.participant_id, marker_id=report.marker_id).first()
    if found is not None and bytes(found.digest) != report.digest:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "markerId: was used for another marker")
    return found


@transaction.atomic
def file_by_operators(key: int, *, kind: str, reason: str, actor: str) -> Marker:
    """Files a marker that two people of the hub have requested and approved."""
    if kind not in Marker.Kind.values:
        raise NotChanged(f"the kind of a marker must be one of {', '.join(Marker.Kind.values)}")
    content = {"key": key, "kind": kind, "reason": reason}
    marker = Marker.objects.create(
        marker_id=str(uuid.uuid4()),
        key=key,
        kind=kind,
        reason=reason[:512],
        digest=strictjson.digest(content),
        change=0,
    )
    record("marker_filed", subject=subject_of(marker.pk), actor=actor, after={"kind": kind, "reason": reason})
    return _count(marker)


def _count(marker: Marker) -> Marker:
    """Raises an alert about a new marker.

    Gives the change its number in the last step, because the lock for this number lasts until the database transaction
    ends.
    """
    filer = marker.filed_by.name if marker.filed_by is not None else ""
    details = {"kind": marker.kind, "filed by": filer or settings.HUB_NAME}
    alerts.raise_alerts(
        [
            Sighting(
                kind=alerts.MARKER,
                party=marker.key,
                subject=subject_of(marker.pk),
                details=details,
                caused_by=filer,
            )
        ]
    )
    marker.change = change_numbers.count(change_numbers.MARKERS)
    execute(_NUMBER, [marker.change, marker.pk])
    return marker


@transaction.atomic
def lift(marker: int, *, reason: str, actor: str) -> Marker:
    """Lifts a marker and ends the appeals against the marker, in the database transaction that approves the request."""
    found = Marker.objects.select_for_update(no_key=True).filter(pk=marker, lifted_at=None).first()
    if found is None:
        raise NotChanged(_("The marker does not exist, or it was already lifted."))
    record("marker_lifted", subject=subject_of(found.pk), actor=actor, after={"kind": found.kind, "reason": reason})
    found.appeals.filter(state=Appeal.State.OPEN).update(
        state=Appeal.State.LIFTED, decided_at=Now(), decided_by=actor, decision=reason[:512]
    )
    found.lifted_at, found.lifted_by, found.lifted_because = Now(), actor, reason[:512]
    found.change = change_numbers.count(change_numbers.MARKERS)
    found.save(update_fields=["lifted_at", "lifted_by", "lifted_because", "change"])
    return found


@transaction.atomic
def appeal(marker: int, *, key: int, participant_id: int, dfsp: str, reason: str) -> tuple[Appeal, bool]:
    """Stores a DFSP's appeal against a marker that is in force. Returns the appeal, and whether the appeal is new.

    A DFSP can have only one open appeal against a marker. If the DFSP appeals a second time, returns the first appeal.
    Raises FspiopError 3200 if the marker is not in force, or if the marker is about a party other than `key`. Raises
    FspiopError 2005, with HTTP status 429, if the DFSP exceeds its daily limit.
    """
    found = Marker.objects.select_for_update(no_key=True).filter(pk=marker, key=key, lifted_at=None).first()
    if found is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "no marker of this party with this number is in force")
    earlier = found.appeals.filter(filed_by=participant_id, state=Appeal.State.OPEN).first()
    if earlier is not None:
        return earlier, False
    _take_one(participant_id)
    made = Appeal.objects.create(marker=found, filed_by_id=participant_id, reason=reason)
    alerts.raise_alerts(
        [
            Sighting(
                kind=alerts.APPEAL,
                party=found.key,
                subject=subject_of(found.pk),
                details={"appeal": made.pk, "filed by": dfsp, "serves the party": queries.serves([made])[made.pk]},
                caused_by=dfsp,
            )
        ]
    )
    return made, True


@transaction.atomic
def reject_appeal(appeal_id: int, *, reason: str, actor: str) -> Appeal:
    """Rejects an appeal, in the database transaction that approves the request. The marker stays in force."""
    found = Appeal.objects.select_for_update(no_key=True).filter(pk=appeal_id, state=Appeal.State.OPEN).first()
    if found is None:
        raise NotChanged(_("The appeal does not exist, or it was already decided."))
    found.state, found.decided_at, found.decided_by = Appeal.State.REJECTED, Now(), actor
    found.decision = reason[:512]
    found.save(update_fields=["state", "decided_at", "decided_by", "decision"])
    record("appeal_rejected", subject=subject_of(found.marker_id), actor=actor, after={"appeal": found.pk})
    return found
