"""The checks before a new participant goes live. Other modules add their own checks by `join`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from directory import trial_lookups
from directory.models import TrialLookup
from hub.participants.models import Credential, Participant
from hub.test_currency import TEST_CURRENCY
from ledger import queries
from ledger.models import Account
from portal.certification import starting_and_ending_runs
from portal.certification.models import Certification

_FAULTS = {
    TrialLookup.Fault.NOT_ACCEPTED: gettext_lazy("The participant did not accept the request: %(detail)s"),
    TrialLookup.Fault.OTHER_NUMBER: gettext_lazy("The answer is about another number."),
    TrialLookup.Fault.OTHER_DFSP: gettext_lazy(
        "The answer does not name the participant as the number's DFSP (fspId: %(detail)s)."
    ),
    TrialLookup.Fault.ERROR: gettext_lazy("The participant answered with the error %(detail)s."),
}
_LOOKUP_COUNTS_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, its result, and the reason. If the scheme does not require a check, the check stops no
    participant.

    `url` has the URL name and the arguments of the page on which people can complete a missing step. `page` is the page
    that shows why the check has passed.
    """

    name: str
    title: str | Promise
    is_passed: bool
    text: str | Promise
    url: tuple[str, list[Any]] | None = None
    is_required: bool = True
    page: tuple[str, list[Any]] | None = None

    @property
    def stops(self) -> bool:
        return self.is_required and not self.is_passed

    @property
    def word(self) -> str:
        if self.is_passed:
            return _("passed")
        return _("missing") if self.is_required else _("not required")


CheckOf = Callable[[Participant], Iterable[Check]]


def _money(participant: Participant) -> Iterable[Check]:
    """Yields two checks for each currency: the net debit cap, and the funds at the settlement bank."""
    accounts = {
        (account.currency, account.type): account
        for account in Account.objects.filter(participant=participant, closed_at=None)
        .exclude(currency=TEST_CURRENCY)
        .order_by("currency")
    }
    for currency in dict.fromkeys(currency for currency, _type in accounts):
        position = accounts.get((currency, Account.Type.POSITION))
        cap = position.net_debit_cap if position else None
        yield Check(
            f"cap {currency}",
            _("Net debit cap in %(currency)s") % {"currency": currency},
            bool(cap),
            _("set") if cap else _("A cap of 0 allows no payment. Set a cap."),
            ("change_cap", [participant.name, currency]),
        )
        held = accounts.get((currency, Account.Type.SETTLEMENT))
        cover = queries.cover_of(held) if held else 0
        yield Check(
            f"funds {currency}",
            _("Funds in %(currency)s") % {"currency": currency},
            cover > 0,
            _("recorded") if cover > 0 else _("Record the participant's first funds in."),
            ("funds_in", [participant.name, currency]),
        )


def _lookup(participant: Participant) -> Iterable[Check]:
    yield Check(
        "lookup",
        _("Answer to GET /parties for a test number"),
        *_judged(participant, trial_lookups.latest(participant)),
    )


def _judged(participant: Participant, trial: TrialLookup | None) -> tuple[bool, str]:
    if trial is None:
        return False, _("Get the number of a test customer from the participant, and send a lookup of this number.")
    if trial.fault:
        return False, _FAULTS[TrialLookup.Fault(trial.fault)] % {"detail": trial.detail}
    if trial.answered_at is None:
        return False, _("The participant has not answered yet.")
    changed = participant.endpoints.filter(changed_at__gt=trial.asked_at).exists()
    if changed or timezone.now() - trial.answered_at > _LOOKUP_COUNTS_FOR:
        return False, _("The last answer is older than a week, or came before the present callback URL. Ask again.")
    return True, _("answered correctly")


def _certificate(participant: Participant) -> Iterable[Check]:
    is_needed = "certificate" in settings.PARTICIPANT_AUTH
    has = _has(participant, Credential.Kind.CERTIFICATE)
    yield _credential(participant, "certificate", gettext_lazy("Certificate"), has=has, is_needed=is_needed)
    if "token" in settings.PARTICIPANT_AUTH:
        has = _has(participant, Credential.Kind.CLIENT)
        yield _credential(participant, "client", gettext_lazy("OAuth2 client"), has=has, is_needed=not is_needed)


def _signing_key(participant: Participant) -> Iterable[Check]:
    yield _credential(
        participant,
        "signing key",
        gettext_lazy("Signing key"),
        has=_has(participant, Credential.Kind.SIGNING_KEY),
        is_needed=settings.SIGNATURES != "ignored",
    )


def _has(participant: Participant, kind: str) -> bool:
    now = timezone.now()
    found = Credential.objects.filter(participant=participant, kind=kind, revoked_at__isnull=True)
    return found.filter(valid_from__lte=now, valid_until__gt=now).exists()


def _credential(participant: Participant, name: str, title: Promise, *, has: bool, is_needed: bool) -> Check:
    if has:
        text = _("valid")
    elif is_needed:
        text = _("Register a valid one.")
    else:
        text = _("This hub's settings do not require this check.")
    return Check(name, title, has, text, ("participant", [participant.name]), is_required=is_needed)


def _certification(participant: Participant) -> Iterable[Check]:
    latest = starting_and_ending_runs.latest_judged(participant)
    is_passed, text = _standing(latest)
    yield Check(
        "certification",
        gettext_lazy("Certification"),
        is_passed,
        text if is_passed or settings.CERTIFICATION_REQUIRED else _("This hub's settings do not require this check."),
        ("certify", [participant.name]),
        is_required=settings.CERTIFICATION_REQUIRED,
        page=("certification", [latest.pk]) if latest is not None else None,
    )


def _standing(latest: Certification | None) -> tuple[bool, str]:
    """Returns whether the latest judged certification is sufficient for the go-live, and the reason."""
    if latest is None or latest.ended_at is None:
        return False, _("Certify the participant.")
    ended = {"date": f"{timezone.localtime(latest.ended_at):%Y-%m-%d}"}
    if latest.state != Certification.State.PASSED:
        return False, _("The last certification failed on %(date)s. Certify the participant again.") % ended
    missing = starting_and_ending_runs.required_cases_left_out(latest)
    if missing:
        return False, _("The last certification left out cases that are not optional: %(cases)s.") % {
            "cases": ", ".join(missing)
        }
    if starting_and_ending_runs.has_new_address(latest):
        return True, _("certified on %(date)s, with an earlier callback URL") % ended
    return True, _("certified on %(date)s") % ended


_checks: list[CheckOf] = [_money, _lookup, _certificate, _signing_key, _certification]


def join(check: CheckOf) -> None:
    """Adds a check that belongs to another module. The decision whether a new participant may go live depends on every
    check."""
    if check not in _checks:
        _checks.append(check)


def checks_of(participant: Participant) -> list[Check]:
    """Returns the results of all checks, in a fixed order."""
    return [found for check in _checks for found in check(participant)]
