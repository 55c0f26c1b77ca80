"""The pages of the scheme's rules: versions and their rules, new versions, activations and exceptions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from portal import changes, pagination
from portal.changes import Line
from portal.changes.rules import effects_of
from portal.posted_text import posted
from portal.rules import fault_texts, sentences, versions
from portal.rules.template_forms import NewRule
from portal.rules.versions import Document
from portal.search_forms import DayField, MomentField
from portal.views.request_change import AskForm, asking
from portal.visitor import visitor_of
from rules.language import checks_of_well_formed_rules
from rules.language.faults import Fault, RuleSetRefused
from rules.language.parse import MOST_BYTES
from rules.language.rule_types import LANGUAGE, RuleSet
from rules.language.schema import schema
from rules.language.templates import TEMPLATES
from rules.rulesets import queries, services
from rules.rulesets.models import Activation, RuleSetVersion, Variance

_MOST_EXCEPTIONS = 200
_LARGEST_NUMBER = 2**63 - 1


def index(request: HttpRequest) -> HttpResponse:
    page = pagination.by_id(request, RuleSetVersion.objects.all())
    active, before = queries.active(), queries.before_active()
    context = {
        "page": page,
        "versions": versions.listed(page.rows),
        "active": active,
        "before": before,
        "planned": queries.planned(),
        "exceptions": pagination.latest(queries.exceptions(), _MOST_EXCEPTIONS),
        "asked": [found for found in versions.open_requests() if found.payload["version"] is None],
    }
    return render(request, "portal/rules.html", context)


def _version(number: int) -> RuleSetVersion:
    found = queries.version(number) if number <= _LARGEST_NUMBER else None
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, number: int) -> HttpResponse:
    version = _version(number)
    (listed,) = versions.listed([version])
    active = queries.active()
    live = active.version if active is not None else None
    rule_set: RuleSet | None = None
    faults: tuple[Fault, ...] = ()
    try:
        rule_set = services.check(version.content)
    except RuleSetRefused as refused:
        faults = refused.faults
    context = {
        "listed": listed,
        "rules": [sentences.sentence_of(rule) for rule in rule_set.rules] if rule_set else [],
        "time_zone": rule_set.time_zone if rule_set else "",
        "faults": _shown(faults),
        "costs": _costs(rule_set) if rule_set else [],
        "activations": pagination.latest(Activation.objects.filter(version=version).order_by("-id"), 50),
        "live": live,
        "difference": versions.difference(live.content, version.content) if live and live.pk != version.pk else None,
        "modes": sentences.MODES.items(),
    }
    return render(request, "portal/rules_version.html", context)


def _costs(rule_set: RuleSet) -> list[tuple[Any, float]]:
    return [
        (sentences.GATES[gate], round(max(checks_of_well_formed_rules.costs_ns(rule_set, gate), default=0) / 1000, 1))
        for gate in checks_of_well_formed_rules.GATES
    ]


def _shown(faults: tuple[Fault, ...]) -> list[tuple[str, str]]:
    return [(fault.path, fault_texts.text_of(fault)) for fault in faults]


def export(request: HttpRequest, number: int) -> HttpResponse:
    """Returns the version as a JSON file. A person can import this file as a new version."""
    version = _version(number)
    answer = HttpResponse(services.text_of(version), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="rules-{version.pk}.json"'
    return answer


def json_schema(request: HttpRequest) -> HttpResponse:
    """Returns the JSON schema of rule sets as a file. With this file, an editor checks rules while a person writes
    them."""
    answer = HttpResponse(json.dumps(schema(), indent=2), content_type="application/schema+json")
    answer["Content-Disposition"] = 'attachment; filename="rules.schema.json"'
    return answer


class Import(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Rules as JSON"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "class": "id", "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        label=gettext_lazy("Or a file"),
        required=False,
        max_length=128,
        widget=forms.ClearableFileInput(attrs={"accept": ".json,application/json"}),
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        file = said.get("file")
        if file is not None and file.size > MOST_BYTES:
            self.add_error("file", _("The file is too large."))
        elif not self.errors and file is None and not said.get("text", "").strip():
            self.add_error("text", _("Write rules, or choose a file."))
        return said

    def raw(self) -> bytes:
        file = self.cleaned_data.get("file")
        if file is not None:
            read: bytes = file.read()
            return read
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")  # browsers end a line with CR and LF
        return text.encode("utf-8", "replace")


def create(request: HttpRequest) -> HttpResponse:
    """Creates a version from a JSON file, or from JSON that the user writes in a form field.

    At first, this field contains the JSON of an existing version.
    """
    based = request.GET.get("from", "")
    number = int(based) if based.isascii() and based.isdecimal() and len(based) < 19 else None
    begun = _version(number) if number is not None else _active_version()
    form = Import(
        request.POST or None, request.FILES or None, initial={"text": services.text_of(begun) if begun else ""}
    )
    faults: tuple[Fault, ...] = ()
    if request.method == "POST" and form.is_valid():
        try:
            version = services.create_from_text(form.raw(), actor=visitor_of(request).name)
        except RuleSetRefused as refused:
            faults = refused.faults
        else:
            messages.success(request, _made(version))
            return redirect("rules_version", version.pk)
    status = 400 if form.errors or faults else 200
    context = {"form": form, "faults": _shown(faults), "based_on": number}
    return render(request, "portal/rules_import.html", context, status=status)


def _active_version() -> RuleSetVersion | None:
    active = queries.active()
    return active.version if active is not None else None


def _made(version: RuleSetVersion) -> str:
    return _(
        "The rules are stored as version %(number)s. This version judges payments once two people have activated it."
    ) % {"number": version.pk}


def templates(request: HttpRequest, number: int) -> HttpResponse:
    """Lists the forms that add a rule to a version. The number 0 means that no version exists yet."""
    version = _version(number) if number else None
    newest = RuleSetVersion.objects.filter(pk__gt=number).order_by("-pk").first() if version else None
    context = {"version": version, "newest": newest, "templates": _offered()}
    return render(request, "portal/rule_templates.html", context)


def _offered() -> list[dict[str, str]]:
    return [
        {"slug": each.name.replace("_", "-"), "title": each.title, "description": each.description}
        for each in TEMPLATES.values()
    ]


def add_rule(request: HttpRequest, number: int, template: str) -> HttpResponse:
    """Creates a version that contains the rules of an existing version and the rules from a form."""
    found = TEMPLATES.get(template.replace("-", "_"))
    if found is None:
        raise Http404
    version = _version(number) if number else None
    form = NewRule(request.POST or None, template=found, is_first=version is None)
    if request.method == "POST" and form.is_valid():
        made = _add(request, form, version)
        if made is not None:
            messages.success(request, _made(made))
            return redirect("rules_version", made.pk)
    context = {"form": form, "template": found, "version": version}
    return render(request, "portal/rule_form.html", context, status=400 if form.errors else 200)


def _add(request: HttpRequest, form: NewRule, version: RuleSetVersion | None) -> RuleSetVersion | None:
    rules = form.rules()
    if rules is None:
        return None
    said = form.cleaned_data
    if version is not None:
        content = version.content
    else:
        content = {"language": LANGUAGE, "name": said["rules_name"], "time_zone": said["time_zone"], "rules": []}
    try:
        return versions.save(versions.with_rules(content, rules), actor=visitor_of(request).name)
    except RuleSetRefused as refused:
        form.add_faults(refused.faults)
        return None


def change_mode(request: HttpRequest, number: int, rule: str) -> HttpResponse:
    """Creates a version in which one rule has a different mode."""
    mode = posted(request, "mode")
    if mode not in sentences.MODES:
        raise Http404
    return _with_rule(request, number, rule, {"mode": mode})


def change_all_modes(request: HttpRequest, number: int) -> HttpResponse:
    """Creates a version in which all rules have the same mode."""
    mode = posted(request, "mode")
    if mode not in sentences.MODES:
        raise Http404
    content = _version(number).content
    return _save(request, number, {**content, "rules": [{**rule, "mode": mode} for rule in content["rules"]]})


def remove_rule(request: HttpRequest, number: int, rule: str) -> HttpResponse:
    """Creates a version from which one rule is removed."""
    return _with_rule(request, number, rule, None)


def _with_rule(request: HttpRequest, number: int, rule_id: str, members: Document | None) -> HttpResponse:
    version = _version(number)
    if rule_id not in versions.rule_ids(version):
        raise Http404
    content = versions.with_rule(
        version.content, rule_id, lambda rule: None if members is None else {**rule, **members}
    )
    return _save(request, number, content)


def _save(request: HttpRequest, number: int, content: Document) -> HttpResponse:
    """Stores the changed rules of a version as a new version. If the rules have faults, shows the faults instead."""
    try:
        made = versions.save(content, actor=visitor_of(request).name)
    except RuleSetRefused as refused:
        for place, text in _shown(refused.faults):
            messages.error(request, f"{place}: {text}" if place else text)
        return redirect("rules_version", number)
    messages.success(request, _made(made))
    return redirect("rules_version", made.pk)


class Period(AskForm):
    valid_from = MomentField(
        label=gettext_lazy("From"),
        help_text=gettext_lazy(
            "Enter the time in your time zone. "
            "If this field is empty, the rules apply as soon as the request is approved."
        ),
    )
    valid_until = MomentField(
        label=gettext_lazy("Until"),
        help_text=gettext_lazy("If this field is empty, the rules apply until the next activation."),
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        now = timezone.now()
        begins, ends = said.get("valid_from"), said.get("valid_until")
        if begins is not None and begins <= now:
            self.add_error("valid_from", _("This time is in the past."))
        if ends is not None and ends <= (begins or now):
            self.add_error("valid_until", _("The end must be after the beginning."))
        return said


def activate(request: HttpRequest, number: int) -> HttpResponse:
    version = _version(number)
    return _activation(request, version.pk, back=reverse("rules_version", args=[number]), facts=_facts(version))


def _facts(version: RuleSetVersion) -> list[Line]:
    """Returns the changes that an activation makes. The page shows these changes to the requester."""
    active = queries.active()
    before = active.version if active is not None else None
    return [Line(_("Version"), str(version)), *effects_of(version, before)]


def switch_off(request: HttpRequest) -> HttpResponse:
    """Submits a request to switch the rules off."""
    return _activation(request, None, back=reverse("rules"), facts=[Line(_("Rules after"), _("no rules"))])


def _activation(request: HttpRequest, number: int | None, *, back: str, facts: list[Line]) -> HttpResponse:
    return asking(
        request,
        "activate_rules",
        form=Period(request.POST or None),
        subject="rules",
        payload=lambda said: services.activation_terms(
            number, valid_from=said["valid_from"], valid_until=said["valid_until"], reason=said["reason"]
        ),
        back=back,
        facts=facts,
    )


def roll_back(request: HttpRequest) -> HttpResponse:
    """Requests the activation of the version that was active before. The user submits this request by one click,
    without a form."""
    before = queries.before_active()
    if before is None:
        messages.error(request, _("There is no earlier version for a roll-back."))
        return redirect("rules")
    named = str(before.version) if before.version else _("no rules")
    reason = _("Roll-back to %(version)s") % {"version": named}
    try:
        approval = changes.ask(
            visitor_of(request),
            "activate_rules",
            subject="rules",
            payload=services.activation_terms(before.version_id, reason=reason),
            reason=reason,
        )
    except changes.NotApproved as refusal:
        messages.error(request, str(refusal))
        return redirect("rules")
    messages.success(request, _("Request submitted. The change takes effect after a second person's approval."))
    return redirect("approval", approval.pk)


def cancel(request: HttpRequest, activation_id: int) -> HttpResponse:
    """Requests the cancellation of a planned activation."""
    planned = queries.planned().filter(pk=min(activation_id, _LARGEST_NUMBER)).first()
    if planned is None:
        raise Http404
    begins = planned.valid_from.isoformat()
    return asking(
        request,
        "cancel_rules",
        form=AskForm(request.POST or None),
        subject="rules",
        payload=lambda said: {
            "activation": planned.pk,
            "version": planned.version_id,
            "from": begins,
            "reason": said["reason"],
        },
        back=reverse("rules"),
        facts=[Line(_("Version"), str(planned.version or _("no rules"))), Line(_("From"), begins)],
    )


class Exemption(AskForm):
    rule = forms.ChoiceField(label=gettext_lazy("Rule"))
    dfsp = forms.ModelChoiceField(
        label=gettext_lazy("DFSP"),
        queryset=Participant.objects.filter(is_hub=False, closed_at=None).order_by("name"),
        to_field_name="name",
    )
    until = DayField(label=gettext_lazy("Last day"), is_end=True)

    def __init__(self, *args: Any, rules: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rule"].choices = rules  # type: ignore[attr-defined]

    def clean_until(self) -> datetime:
        until: datetime = self.cleaned_data["until"]
        now = timezone.now()
        if not now < until <= now + services.LONGEST_VARIANCE - timedelta(minutes=1):
            raise forms.ValidationError(
                _("The exception must end in the future, within the next %(days)s days.")
                % {"days": services.LONGEST_VARIANCE.days}
            )
        return until


def add_exception(request: HttpRequest) -> HttpResponse:
    active = _active_version()
    content = active.content if active is not None else {"rules": []}
    rules = [(rule["id"], f"{rule['id']}: {rule['title']}") for rule in content["rules"]]
    return asking(
        request,
        "grant_variance",
        form=Exemption(request.POST or None, rules=rules),
        subject=lambda said: said["dfsp"].name,
        payload=lambda said: {
            "rule": said["rule"],
            "dfsp": said["dfsp"].name,
            "until": said["until"].astimezone(UTC).isoformat(),
            "reason": said["reason"],
        },
        back=reverse("rules"),
    )


def end_exception(request: HttpRequest, variance_id: int) -> HttpResponse:
    """Submits a request to end an exception. The requested end is the present time, so the exception ends as soon as a
    second person approves the request."""
    found = Variance.objects.filter(pk=min(variance_id, _LARGEST_NUMBER)).first()
    if found is None:
        raise Http404
    return asking(
        request,
        "grant_variance",
        form=AskForm(request.POST or None),
        subject=found.dfsp,
        payload=lambda said: {
            "rule": found.rule,
            "dfsp": found.dfsp,
            "until": timezone.now().isoformat(),
            "reason": said["reason"],
        },
        back=reverse("rules"),
        facts=[
            Line(_("DFSP"), found.dfsp),
            Line(_("Exempt from rule"), found.rule),
            Line(_("Until"), _("the approval")),
        ],
    )
