"""The kinds of alarm. Each kind has a title, a text, a page and a level of severity.

For each kind, docs/operators.md has a section that explains what to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal import changes
from portal.changes.credentials import KIND_NAMES
from portal.templatetags.portal import age, as_percent, whole

Details = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    title: Promise
    sentence: Callable[[Details], str]
    page: Callable[[Details], str]
    is_urgent: bool = False  # an urgent alarm is about money, or affects every payment


def _participant(details: Details) -> str:
    return reverse("participant", args=[details["participant"]])


def _page(name: str) -> Callable[[Details], str]:
    return lambda details: reverse(name)


def _callbacks(details: Details) -> str:
    return f"{reverse('callbacks')}?{urlencode({'dfsp': details['participant'], 'state': 'all'})}"


def _given_up(details: Details) -> str:
    text = ngettext(
        "%(participant)s: the hub no longer tries to send %(count)s callback.",
        "%(participant)s: the hub no longer tries to send %(count)s callbacks.",
        details["count"],
    )
    return text % {"participant": details["participant"], "count": whole(details["count"])}


def _late_callbacks(details: Details) -> str:
    said = {"participant": details["participant"], "count": whole(details["count"]), "age": age(details["seconds"])}
    return _("%(participant)s: %(count)s callbacks wait, the oldest for %(age)s.") % said


def _near_limit(details: Details) -> str:
    return _("%(participant)s has used %(percent)s of its limit in %(currency)s.") % {
        **details,
        "percent": as_percent(details["percent"]),
    }


def _certificate(details: Details) -> str:
    kind = KIND_NAMES.get(details.get("kind", ""), "")
    label = f"{kind} {details['label']}".strip()
    said = {"owner": details["participant"] or _("the hub"), "label": label, "at": details["until"][:10]}
    return _("%(owner)s: %(label)s expires on %(at)s, and no replacement is valid yet.") % said


def _oracle(details: Details) -> str:
    return _("The oracle at %(endpoint)s does not answer.") % details


def _success(details: Details) -> str:
    said = {
        "participant": details["participant"],
        "now": as_percent(details["now"]),
        "normal": as_percent(details["normal"]),
        "count": whole(details["count"]),
    }
    if details["side"] == "PAYER":
        return _("%(now)s of %(count)s payments from %(participant)s succeed. %(normal)s is normal.") % said
    return _("%(now)s of %(count)s payments to %(participant)s succeed. %(normal)s is normal.") % said


def _overdue(details: Details) -> str:
    count = details["count"]
    text = ngettext(
        "%(count)s reservation is past its expiration.", "%(count)s reservations are past their expiration.", count
    )
    return text % {"count": whole(count)}


def _ledger(details: Details) -> str:
    return _("The check of the ledger found: %(breaks)s.") % {"breaks": ", ".join(details["breaks"])}


def _late_check(details: Details) -> str:
    return _("The ledger was last checked %(age)s ago.") % {"age": age(details["seconds"])}


def _approval(details: Details) -> str:
    kind = changes.KINDS.get(details["kind"])
    title = kind.title if kind is not None else details["kind"]
    said = {"number": details["number"], "title": title, "age": age(details["seconds"])}
    return _("Request %(number)s (%(title)s) has waited for approval for %(age)s.") % said


def _window(details: Details) -> str:
    said = {"number": details["number"], "age": age(details["seconds"])}
    if details["is_open"]:
        return _("Window %(number)s has been open for %(age)s.") % said
    return _("Window %(number)s was closed %(age)s ago and is not settled.") % said


def _skipped(details: Details) -> str:
    return _("Background work skips %(count)s rows: %(batch)s.") % {**details, "count": whole(details["count"])}


def _unsent(details: Details) -> str:
    return _("The hub no longer tries to send %(count)s e-mails and webhooks.") % {"count": whole(details["count"])}


def _failed_check(details: Details) -> str:
    return _("The check for the alarm “%(kind)s” failed: %(error)s.") % details


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("ledger", gettext_lazy("The ledger is inconsistent"), _ledger, _page("overview"), is_urgent=True),
        Kind("ledger_check_late", gettext_lazy("The ledger is not checked"), _late_check, _page("overview")),
        Kind(
            "overdue_reservations",
            gettext_lazy("Reservations past their expiration"),
            _overdue,
            lambda details: f"{reverse('transfers')}?state=RESERVED",
            is_urgent=True,
        ),
        Kind("near_limit", gettext_lazy("A position near its limit"), _near_limit, _participant, is_urgent=True),
        Kind("low_success", gettext_lazy("A bank's success below its normal"), _success, _participant, is_urgent=True),
        Kind("given_up_callbacks", gettext_lazy("Callbacks given up"), _given_up, _callbacks),
        Kind("late_callbacks", gettext_lazy("Callbacks late"), _late_callbacks, _callbacks),
        Kind("silent_oracle", gettext_lazy("An oracle does not answer"), _oracle, _page("directory"), is_urgent=True),
        Kind(
            "ending_certificate",
            gettext_lazy("A certificate or key expires"),
            _certificate,
            lambda details: _participant(details) if details["participant"] else reverse("hub_certificates"),
        ),
        Kind(
            "waiting_approval",
            gettext_lazy("A request waits long for approval"),
            _approval,
            lambda details: reverse("approval", args=[details["number"]]),
        ),
        Kind(
            "late_window",
            gettext_lazy("A settlement window is late"),
            _window,
            lambda details: (
                reverse("settlement") if details["is_open"] else reverse("window", args=[details["number"]])
            ),
        ),
        Kind("skipped_rows", gettext_lazy("Rows that background work skips"), _skipped, _page("skipped_rows")),
        Kind("unsent_notifications", gettext_lazy("Notifications given up"), _unsent, _page("notifications")),
        Kind("failed_check", gettext_lazy("A check of the alarms failed"), _failed_check, _page("alarms")),
    )
}
