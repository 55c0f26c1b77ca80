"""The list of participants, the page of one participant, and requests to change a participant."""

import time
import uuid
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.participants import queries
from hub.participants.endpoint_types_and_urls import BASE
from hub.participants.models import Credential, Participant
from ledger.models import Account, FundsMovement
from portal import change_request_forms, connection_test, pagination
from portal.changes import KINDS, Line
from portal.changes.credentials import EXPIRES_SOON
from portal.changes.participants import owed_lines
from portal.may_send_or_receive_choices import Direction
from portal.permissions import Right
from portal.posted_text import posted
from portal.queries.positions import standings
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of, visitor_of

_LATEST = 20


def index(request: HttpRequest) -> HttpResponse:
    found = standings()
    with_accounts = {standing.participant.pk for standing in found}
    bare = Participant.objects.filter(is_hub=False).exclude(pk__in=with_accounts)
    ending = pagination.latest(queries.ending_credentials(EXPIRES_SOON), _LATEST)
    return render(request, "portal/participants.html", {"standings": found, "bare": bare, "ending": ending})


def show(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    visitor = visitor_of(request)
    found = standings(participant)
    movements = FundsMovement.objects.filter(account__participant=participant).select_related("account")
    pending = Approval.objects.filter(subject=name, state="PENDING", expires_at__gt=timezone.now())
    history: Any = []
    if visitor.dfsp_id is None:
        history = pagination.latest(AuditEntry.objects.filter(subject=name).order_by("-id"), _LATEST)
    else:
        pending = pending.filter(maker__profile__participant_id=visitor.dfsp_id)
    endpoints = list(participant.endpoints.all())
    credentials = list(participant.credentials.order_by("-id"))
    return render(
        request,
        "portal/participant.html",
        {
            "participant": participant,
            "standings": found,
            "accounts": participant.accounts.order_by("currency", "id") if visitor.may(Right.SEE_STATEMENTS) else [],
            "movements": pagination.latest(movements.order_by("-created_at"), _LATEST),
            "endpoints": endpoints,
            "credentials": credentials,
            "ending": [found for found in credentials if is_ending(found)],
            "networks": participant.networks.all(),
            "contacts": participant.contacts.all(),
            "pending": [(found, KINDS[found.kind].title) for found in pending.select_related("maker")],
            "history": history,
            "steps": []
            if participant.leaving_since or participant.onboarding_since
            else _steps(found, endpoints, credentials),
        }
        | ({"may": {}} if participant.closed_at else {}),  # nobody can request changes of a closed participant
    )


def is_ending(credential: Credential) -> bool:
    """Returns whether the credential expires soon and should be replaced."""
    left = credential.valid_until - timezone.now()
    return credential.revoked_at is None and timedelta(0) < left <= EXPIRES_SOON


def _steps(found: list[Any], endpoints: list[Any], credentials: list[Any]) -> list[tuple[str, bool]]:
    """Returns the steps that a new participant needs before the first payment. For each step, also returns whether the
    step is done.

    If all steps are done, returns an empty list.
    """
    steps = [
        (_("Accounts and net debit cap"), any(standing.cap is not None for standing in found)),
        (_("Callback URL"), bool(endpoints)),
        (_("Credentials"), any(found.revoked_at is None for found in credentials)),
        (_("Cover at the settlement bank"), any(standing.cover > 0 for standing in found)),
    ]
    return [] if all(is_done for _text, is_done in steps) else steps


def _position(participant: Participant, currency: str) -> Account:
    found = Account.objects.filter(participant=participant, currency=currency, type=Account.Type.POSITION).first()
    if found is None:
        raise Http404
    return found


def change_cap(request: HttpRequest, name: str, currency: str) -> HttpResponse:
    participant = participant_of(request, name)
    position = _position(participant, currency)
    return asking(
        request,
        "change_cap",
        form=change_request_forms.Cap(
            request.POST or None, currency=currency, initial={"alarm_percentage": position.alarm_percentage}
        ),
        subject=name,
        payload=lambda said: {
            "participant": name,
            "currency": currency,
            "ndc_before": position.net_debit_cap,
            "ndc": said["ndc"],
            "alarm_percentage": said["alarm_percentage"],
        },
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("Current cap"), position.net_debit_cap, currency)],
    )


def move_funds_in(request: HttpRequest, name: str, currency: str) -> HttpResponse:
    return _move_funds(request, name, currency, "funds_in")


def move_funds_out(request: HttpRequest, name: str, currency: str) -> HttpResponse:
    return _move_funds(request, name, currency, "funds_out")


def _move_funds(request: HttpRequest, name: str, currency: str, kind: str) -> HttpResponse:
    participant = participant_of(request, name)
    standing = next((found for found in standings(participant) if found.currency == currency), None)
    if standing is None:
        raise Http404
    return asking(
        request,
        kind,
        form=change_request_forms.Funds(request.POST or None, currency=currency),
        subject=name,
        payload=lambda said: {
            "participant": name,
            "currency": currency,
            "amount": said["amount"],
            "reference": said["reference"],
            "reason": said["reason"],
            "transfer_id": str(uuid.uuid4()),
        },
        back=reverse("participant", args=[name]),
        facts=[
            Line(_("Participant"), name),
            Line(_("Current cover"), standing.cover, currency),
            *([Line(_("On hold"), standing.on_hold, currency)] if standing.on_hold else []),
            Line(_("Cover in use"), max(0, standing.used), currency),
        ],
    )


def end_funds_out(request: HttpRequest, name: str, transfer_id: str) -> HttpResponse:
    participant = participant_of(request, name)
    movement = (
        FundsMovement.objects.select_related("account")
        .filter(Q(account__participant=participant), pk=transfer_id, kind="FUNDS_OUT", state="RESERVED")
        .first()
    )
    if movement is None:
        raise Http404
    return asking(
        request,
        "end_funds_out",
        form=change_request_forms.FundsEnd(request.POST or None),
        subject=name,
        payload=lambda said: {
            "participant": name,
            "currency": movement.account.currency,
            "amount": movement.amount,
            "reference": said["reference"],
            "reason": said["reason"],
            "transfer_id": movement.transfer_id,
            "commits": said["outcome"] == "paid",
        },
        back=reverse("participant", args=[name]),
        facts=[
            Line(_("Participant"), name),
            Line(_("Amount"), movement.amount, movement.account.currency),
        ],
    )


def change_endpoint(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    now = dict(participant.endpoints.values_list("type", "value"))
    chosen = request.GET.get("type", BASE)
    return asking(
        request,
        "set_endpoint",
        form=change_request_forms.EndpointChange(
            request.POST or None, initial={"type": chosen, "value": now.get(chosen, "")}
        ),
        subject=name,
        payload=lambda said: {
            "participant": name,
            "type": said["type"],
            "before": now.get(said["type"], ""),
            "value": said["value"],
        },
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name)],
    )


def change_activity(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    return asking(
        request,
        "set_active",
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: {"participant": name, "is_active": not participant.is_active},
        back=reverse("participant", args=[name]),
        facts=[
            Line(_("Participant"), name),
            Line(_("Now"), _("active") if participant.is_active else _("paused")),
            Line(_("After"), _("paused") if participant.is_active else _("active")),
            *(owed_lines(participant) if participant.is_active else []),
        ],
    )


def change_directions(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    now = Direction.of(participant.may_send, participant.may_receive)
    return asking(
        request,
        "set_directions",
        form=change_request_forms.Directions(request.POST or None, initial={"direction": now}),
        subject=name,
        payload=lambda said: {
            "participant": name,
            "before": [participant.may_send, participant.may_receive],
            "direction": said["direction"],
        },
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("Now"), now.label)],
    )


def test_connection(request: HttpRequest, name: str) -> HttpResponse:
    participant = participant_of(request, name)
    chosen = posted(request, "endpoint")
    endpoint = next((found for found in participant.endpoints.all() if str(found.pk) == chosen), None)
    if endpoint is None:
        raise Http404
    began = time.monotonic()
    answer = connection_test.call(endpoint.value)
    took_ms = round((time.monotonic() - began) * 1000)
    if answer.status == 0:
        messages.error(request, _("No response from %(url)s: %(why)s") % {"url": endpoint.value, "why": answer.error})
    else:
        told = {"url": endpoint.value, "status": answer.status, "ms": took_ms, "text": answer.error}
        messages.success(request, _("%(url)s responded with HTTP %(status)s after %(ms)s ms. %(text)s") % told)
    return redirect("participant", name)
