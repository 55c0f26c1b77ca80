"""The pages about the hub: the hub's accounts, settlement models, currency pairs, certificates and settings.

Every change on these pages needs two people.
"""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.participants.models import Credential, CurrencyPair
from ledger import queries as ledger
from ledger.models import Account
from portal import hub_forms, pagination
from portal.changes import Line
from portal.queries import hub_certificates
from portal.settings_in_force import sections
from portal.views.request_change import AskForm, asking
from settlement.models import LedgerAccountType, SettlementModel


def accounts(request: HttpRequest) -> HttpResponse:
    found = list(Account.objects.filter(participant__is_hub=True).order_by("currency", "type"))
    rows = [(account, ledger.value_of(account)) for account in found]
    return render(request, "portal/hub_accounts.html", {"rows": rows, "here": "accounts"})


def open_account(request: HttpRequest) -> HttpResponse:
    return asking(
        request,
        "open_hub_account",
        form=hub_forms.NewHubAccount(request.POST or None),
        subject=lambda said: f"{settings.HUB_NAME} {said['currency']}",
        payload=lambda said: {"type": said["type"], "currency": said["currency"]},
        back=reverse("hub_accounts"),
    )


def settlement_models(request: HttpRequest) -> HttpResponse:
    models = list(SettlementModel.objects.order_by("-is_active", "name"))
    for model in models:
        model.method = f"{model.delay} {model.granularity} {model.interchange}"  # type: ignore[attr-defined]
    context = {
        "models": models,
        "types": LedgerAccountType.objects.order_by("name"),
        "here": "models",
    }
    return render(request, "portal/settlement_models.html", context)


def create_model(request: HttpRequest) -> HttpResponse:
    return asking(
        request,
        "create_settlement_model",
        form=hub_forms.NewModel(request.POST or None),
        subject=lambda said: str(said["name"]),
        payload=hub_forms.NewModel.payload,
        back=reverse("settlement_models"),
    )


def set_model_active(request: HttpRequest, model_id: int) -> HttpResponse:
    model = SettlementModel.objects.filter(pk=model_id).first()
    if model is None:
        raise Http404
    after = _("inactive: the hub no longer settles with this model") if model.is_active else _("active")
    return asking(
        request,
        "set_settlement_model_active",
        form=AskForm(request.POST or None),
        subject=model.name,
        payload=lambda _said: {"name": model.name, "is_active": not model.is_active},
        back=reverse("settlement_models"),
        facts=[Line(_("Settlement model"), model.name), Line(_("After"), after)],
    )


def currency_pairs(request: HttpRequest) -> HttpResponse:
    pairs = CurrencyPair.objects.select_related("participant")
    page = pagination.by_id(request, pairs)
    return render(request, "portal/currency_pairs.html", {"page": page, "here": "pairs"})


def offer_pair(request: HttpRequest) -> HttpResponse:
    return asking(
        request,
        "offer_pair",
        form=hub_forms.NewPair(request.POST or None),
        subject=lambda said: str(said["participant"]),
        payload=lambda said: {name: said[name] for name in ("participant", "source", "target")},
        back=reverse("currency_pairs"),
    )


def withdraw_pair(request: HttpRequest, pair_id: int) -> HttpResponse:
    pair = CurrencyPair.objects.select_related("participant").filter(pk=pair_id).first()
    if pair is None:
        raise Http404
    terms = {"participant": pair.participant.name, "source": pair.source_currency, "target": pair.target_currency}
    return asking(
        request,
        "withdraw_pair",
        form=AskForm(request.POST or None),
        subject=pair.participant.name,
        payload=lambda _said: terms,
        back=reverse("currency_pairs"),
        facts=[
            Line(_("Participant"), terms["participant"]),
            Line(_("Conversion"), f"{terms['source']} → {terms['target']}"),
        ],
    )


def certificates(request: HttpRequest) -> HttpResponse:
    issued = Credential.objects.filter(kind=Credential.Kind.CERTIFICATE).select_related("participant")
    context = {"own": hub_certificates.own(), "page": pagination.by_id(request, issued), "here": "certificates"}
    return render(request, "portal/hub_certificates.html", context)


def settings_in_force(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/settings_in_force.html", {"sections": sections(), "here": "settings"})
