"""Template filters and tags that format amounts, moments and states."""

import re
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from hub.audit.models import Entry
from hub.participants.models import Credential, Participant
from portal import changes
from portal.amounts_and_durations import age, money
from portal.certification.models import Certification, CertificationCase
from portal.changes.credentials import EXPIRES_SOON, KIND_NAMES
from portal.may_send_or_receive_choices import Direction
from portal.permissions import Role
from portal.rules import sentences
from portal.words import actions, actors, errors, kinds, recorded_values, service_texts, states, subjects

register = template.Library()
register.filter("money", money)
register.filter("age", age)

_TONES = {
    "COMMITTED": "success",
    "WAITING": "info",
    "RUNNING": "info",
    "DONE": "success",
    "FAILED": "danger",
    "PASSED": "success",
    "INTERRUPTED": "warning",
    "NOT_JUDGED": "warning",
    "LEFT_OUT": "secondary",
    "RESERVED": "info",
    "ABORTED": "danger",
    "ACCEPTED": "success",
    "REJECTED": "danger",
    "PENDING": "info",
    "DEAD": "danger",
    "SENT": "success",
    "GIVEN_UP": "danger",
    "ANSWERED": "success",
    "DELIVERED": "success",
    "AGREED": "info",
    "OPEN": "info",
    "CLOSED": "secondary",
    "SETTLED": "success",
    "PENDING_SETTLEMENT": "warning",
    "PS_TRANSFERS_RECORDED": "info",
    "PS_TRANSFERS_RESERVED": "info",
    "PS_TRANSFERS_COMMITTED": "info",
    "SETTLING": "info",
    "APPROVED": "success",
    "REFUSED": "danger",
    "WITHDRAWN": "secondary",
    "EXPIRED": "secondary",
    "MATCHED": "success",
    "UNKNOWN_REFERENCE": "danger",
    "OTHER_PARTICIPANT": "danger",
    "OTHER_CURRENCY": "danger",
    "OTHER_DIRECTION": "danger",
    "OTHER_AMOUNT": "danger",
    "TWICE": "danger",
    "LIVE": "success",
    "SHADOW": "info",
    "ACTIVE": "success",
    "PLANNED": "info",
    "REQUESTED": "warning",
    "ALLOW": "success",
    "ALERT": "warning",
    "HOLD": "warning",
    "REFUSE": "danger",
    "HELD": "warning",
    "RELEASED": "success",
    "FRAUD": "danger",
    "LIFTED": "secondary",
}

STATE_WORDS = states.WORDS
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")


@register.filter
def recorded(value: Any, name: str) -> SafeString | str:
    """Formats a value of the audit trail for a page. The CSV file shows the recorded value without formatting."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return recorded_values.yes_or_no(value)
    if name in recorded_values.AMOUNTS and isinstance(value, int):
        return money(value)
    if name == "approval" and isinstance(value, int):
        return format_html('<a href="{}">{}</a>', reverse("approval", args=[value]), value)
    if isinstance(value, list):
        return format_html_join(", ", "{}", ((recorded(part, name),) for part in value))
    text = str(value)
    if name in recorded_values.WRITTEN:
        return text
    if name == "kind":
        return _kind_in_words(text)
    if text in set(Role):
        return role_word(text)
    at = recorded_values.time_in(text)
    if at is not None:
        return moment(at)
    if text in STATE_WORDS:
        return states.word_of(text)
    return text.split("\n", 1)[0] + "…" if text.startswith("-----BEGIN ") else text


def _kind_in_words(name: str) -> str:
    """Returns the title of a kind of request or alarm. For another kind, returns the kind's word."""
    from portal.alarms.kinds import KINDS as ALARMS  # the sentences of alarms use this module's filters

    found = changes.KINDS.get(name) or ALARMS.get(name)
    return kinds.word_of(name) if found is None else str(found.title)


@register.filter
def recorded_name(name: str) -> str:
    """Returns the label for a name in the audit trail."""
    return recorded_values.label_of(name)


@register.filter
def action_phrase(action: str) -> SafeString:
    """Returns the phrase for an action of the audit trail. The title is the action's name."""
    return format_html('<span title="{}">{}</span>', action, actions.phrase_of(action))


@register.filter
def actor_words(actor: str | None) -> str:
    """Returns the people who made a change, in the visitor's language."""
    return actors.words_of(actor or "")


@register.filter
def entry_subject(entry: Entry) -> str:
    """Returns the subject of an audit entry, in the visitor's language."""
    return subjects.words_of_entry(entry.subject, entry.action)


@register.filter
def has_parts(value: Any) -> bool:
    """Returns whether a value in the audit trail has parts that need lines of their own."""
    return recorded_values.is_complex(value)


@register.simple_tag
def error_words(code: str, description: str | None = "") -> str:
    """Returns an error of the API in words of the visitor's language."""
    return errors.words_of(code, description or "")


@register.filter
def party(key: int) -> str:
    """Formats the key of a party. The key is a keyed hash, so the key does not reveal the party's identifier."""
    return f"{key:016x}"


@register.filter
def negated(amount: Any) -> int:
    return -int(amount)


@register.filter
def absolute(amount: Any) -> int:
    return abs(int(amount))


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """Formats a time in the visitor's time zone, to the second. The title also shows milliseconds and the time zone."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        local.isoformat(sep=" ", timespec="milliseconds"),
        local.strftime("%Y-%m-%d %H:%M:%S"),
    )


@register.filter
def said(value: Any) -> Any:
    """Formats a time in the same way as `moment`. Leaves other values unchanged."""
    return moment(value) if isinstance(value, datetime) else value


@register.filter
def whole(number: Any) -> str:
    """Formats a whole number. The marks between thousands follow the visitor's language."""
    return "–" if number is None else formats.number_format(int(number), use_l10n=True, force_grouping=True)


@register.filter
def as_percent(number: Any) -> str:
    """Formats a percentage: 99.5 %."""
    return "–" if number is None else f"{formats.number_format(number, use_l10n=True)} %"


@register.filter
def duration(seconds: float | None) -> str:
    """Formats a short duration for reading: 4 ms, 180 ms, 1.4 s, 3 min."""
    if seconds is None:
        return "–"
    if seconds >= 0.995:
        return age(seconds)
    return f"{formats.number_format(seconds * 1000, 0 if seconds >= 0.01 else 1)} ms"


@register.filter
def count(number: int) -> str:
    """Formats a number with separators of thousands."""
    return str(formats.number_format(number, use_l10n=True, force_grouping=True))


@register.filter
def since(at: datetime | None) -> str:
    """Formats the time that has passed since this moment."""
    return "–" if at is None else age((timezone.now() - at).total_seconds())


@register.filter
def until(at: datetime) -> str:
    """Formats the time that is left until this moment."""
    return age(max(0.0, (at - timezone.now()).total_seconds()))


@register.filter
def state(name: Any) -> SafeString:
    """Returns a badge with the word for a state. The title is the state's name in the API. The colour gives no
    additional information."""
    known = str(name)
    return format_html(
        '<span class="state state-{}" title="{}">{}</span>',
        _TONES.get(known, "secondary"),
        known,
        states.word_of(known),
    )


@register.filter
def kind_word(name: str) -> SafeString:
    """Returns the word for a kind. The title is the name of the kind in the API."""
    return format_html('<span title="{}">{}</span>', name, kinds.word_of(name))


@register.filter
def gate_word(name: str) -> str:
    """Returns the step of a payment at which rules judged the payment, in the visitor's language."""
    return str(sentences.MOMENTS.get(name) or name)


@register.filter
def service_words(text: str) -> str:
    """Returns the text of a service in the visitor's language."""
    return service_texts.words_of(text)


@register.filter
def effect_words(effect: str) -> str:
    """Returns the effect of a rule, such as REFUSE 4241, with the action in the visitor's language."""
    action, _space, rest = effect.partition(" ")
    return f"{states.word_of(action)} {rest}".strip()


@register.filter
def role_word(name: str) -> str:
    """Returns a role's name in the visitor's language. A group that is not a role keeps its name."""
    return str(Role(name).label) if name in set(Role) else name


@register.filter
def short_digests(text: str) -> str:
    """Shortens the digests that stand for aliases in the paths of messages."""
    return _DIGEST.sub(r"\1…", text)


@register.filter
def result(row: Certification | CertificationCase) -> SafeString:
    """Returns a badge for the state of a certification, or for the verdict of a case, in words."""
    if isinstance(row, CertificationCase):
        word, text = row.verdict, row.get_verdict_display()
    else:
        word, text = row.state, row.get_state_display()
    return format_html('<span class="state state-{}">{}</span>', _TONES.get(word, "secondary"), text)


@register.filter
def yes_no(value: bool) -> SafeString:
    tone, text = ("success", _("active")) if value else ("danger", _("paused"))
    return format_html('<span class="state state-{}">{}</span>', tone, text)


@register.filter
def yesno_word(value: bool) -> str:
    return recorded_values.yes_or_no(value)


@register.filter
def direction(participant: Participant) -> SafeString | str:
    """Returns a badge if the participant may not send or may not receive.

    Returns an empty text if the participant may send and receive.
    """
    found = Direction.of(participant.may_send, participant.may_receive)
    if participant.onboarding_since is not None:  # the badge of the participant's state already shows this
        return ""
    return "" if found is Direction.BOTH else format_html('<span class="state state-warning">{}</span>', found.label)


@register.filter
def credential_kind(credential: Credential) -> str:
    return str(KIND_NAMES[Credential.Kind(credential.kind)])


@register.filter
def validity(credential: Credential) -> SafeString:
    """Returns a badge for a credential's validity.

    The badge warns before the end of the validity, while the credential can still be replaced.
    """
    now = timezone.now()
    left = credential.valid_until - now
    if credential.revoked_at is not None:
        tone, text = "danger", _("revoked")
    elif left <= timedelta(0):
        tone, text = "danger", _("expired")
    elif credential.valid_from > now:
        tone, text = "info", _("not valid yet")
    elif left <= EXPIRES_SOON:
        tone, text = "warning", _("expires in %(left)s") % {"left": age(left.total_seconds())}
    else:
        tone, text = "success", _("valid")
    return format_html('<span class="state state-{}">{}</span>', tone, text)


@register.filter
def standing(participant: Participant) -> SafeString:
    """Returns a badge for the participant's state: active, paused, off-boarding or closed."""
    if participant.closed_at is not None:
        tone, text = "danger", _("closed")
    elif participant.leaving_since is not None:
        tone, text = "warning", _("off-boarding")
    elif not participant.is_active:
        tone, text = "danger", _("paused")
    elif participant.onboarding_since is not None:
        tone, text = "warning", _("not live yet")
    else:
        tone, text = "success", _("active")
    return format_html('<span class="state state-{}">{}</span>', tone, text)


@register.simple_tag
def link(url: tuple[str, list[Any]]) -> str:
    """Returns the URL of the page with this name and these arguments."""
    name, arguments = url
    return reverse(name, args=arguments)


@register.simple_tag
def icon(name: str) -> SafeString:
    sprite = static("portal/vendor/bootstrap-icons/icons.svg")
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>', sprite, name
    )


@register.filter
def percent(part: Any, whole: Any) -> int:
    """Returns a part as a percentage of the whole, from 0 to 100."""
    if not whole or part is None:
        return 0
    return max(0, min(100, int(int(part) * 100 // int(whole))))
