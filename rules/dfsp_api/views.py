"""Signals of payees, fraud markers and appeals, for DFSPs."""

from typing import get_args

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import strictjson
from fspiop.bodies.common import PartyIdType
from fspiop.errors import ErrorCode, FspiopError
from fspiop.time import format_datetime
from hub.api.openapi import dfsp_schema
from hub.dfsp_api.dfsp_view import DfspView, answer
from rules.dfsp_api import bodies
from rules.markers import queries as markers
from rules.markers import services
from rules.markers.models import Marker
from rules.party_keys import key_of
from rules.signals import answering_requests
from rules.signals.payee_counters import rounded

TAG = "Fraud"
_TYPES = frozenset(get_args(PartyIdType))
_LARGEST_ID = 2**63 - 1


class SignalsView(DfspView):
    @dfsp_schema(TAG, summary="Show the signals of a payee: markers and rounded counters", answer=bodies.Signals)
    def get(self, request: Request, id_type: str, identifier: str, sub_id: str | None = None) -> HttpResponse:
        key = _key_of(id_type, identifier, sub_id)
        known = answering_requests.ask(key, participant_id=self.caller)
        return answer(
            bodies.Signals(
                is_known=known.is_known,
                is_confirmed=known.is_confirmed,
                markers=[bodies.PayeeMarker(number, kind, at.date().isoformat()) for number, kind, at in known.markers],
                counters=[bodies.Counter(each.name, each.hours, rounded(each.number)) for each in known.counts],
            )
        )


class MarkersView(DfspView):
    @dfsp_schema(
        TAG,
        summary="File a fraud marker of a party",
        request=bodies.MarkerPost,
        answer=bodies.ShownMarker,
        status=201,
        further={200: "The caller has filed the same marker before"},
    )
    def post(self, request: Request) -> HttpResponse:
        body = self.body(bodies.MarkerPost)
        report = services.Report(
            marker_id=body.marker_id,
            participant_id=self.caller,
            key=_key_of(body.party_id_type, body.party_identifier, body.party_sub_id_or_type),
            kind=body.kind,
            reason=body.reason,
            transaction_id=body.transaction_id or "",
            digest=strictjson.digest(strictjson.loads(self.raw_body)),
        )
        marker, is_new = services.file(report)
        return answer(_shown(marker), status=201 if is_new else 200)


class MarkerView(DfspView):
    @dfsp_schema(
        TAG,
        summary="Show a marker that the caller has filed",
        answer=bodies.ShownMarker,
        further={404: "The caller has filed no such marker"},
    )
    def get(self, request: Request, number: int) -> HttpResponse:
        found = markers.filed_by(self.caller, number) if number <= _LARGEST_ID else None
        if found is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "the caller has filed no marker with this id", http_status=404)
        return answer(_shown(found))


class AppealsView(DfspView):
    @dfsp_schema(
        TAG,
        summary="Appeal against a marker of one of the caller's customers",
        request=bodies.AppealPost,
        answer=bodies.ShownAppeal,
        status=201,
        further={200: "An earlier appeal of the caller is still open"},
    )
    def post(self, request: Request, number: int) -> HttpResponse:
        body = self.body(bodies.AppealPost)
        if number > _LARGEST_ID:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "the marker is not in force", http_status=404)
        appeal, is_new = services.appeal(
            number,
            key=_key_of(body.party_id_type, body.party_identifier, body.party_sub_id_or_type),
            participant_id=self.caller,
            dfsp=self.fspiop.source,
            reason=body.reason,
        )
        return answer(bodies.ShownAppeal(appeal.state), status=201 if is_new else 200)

    @dfsp_schema(
        TAG,
        summary="Show the caller's latest appeal against a marker",
        answer=bodies.ShownAppeal,
        further={404: "The caller has not appealed against this marker"},
    )
    def get(self, request: Request, number: int) -> HttpResponse:
        found = markers.latest_appeal(self.caller, number) if number <= _LARGEST_ID else None
        if found is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "the caller has no appeal against this marker", http_status=404)
        return answer(bodies.ShownAppeal(found.state, found.decision or None))


def _key_of(id_type: str, identifier: str, sub_id: str | None) -> int:
    """Returns the key of a party. Raises FspiopError 3100 if no party can have this identifier."""
    if id_type not in _TYPES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the type of the party's identifier is unknown")
    for text in (identifier, sub_id or ""):
        if len(text) > 128 or not text.isprintable():
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "an identifier must be 1 to 128 printable characters")
    return key_of(id_type, identifier, sub_id)


def _shown(marker: Marker) -> bodies.ShownMarker:
    return bodies.ShownMarker(
        number=marker.pk,
        marker_id=marker.marker_id,
        kind=marker.kind,
        filed_at=format_datetime(marker.filed_at),
        is_lifted=marker.lifted_at is not None,
    )
