"""Template filters and tags that format amounts, moments and states."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from fspiop.money import CURRENCIES, SCALE
from hub.participants.models import Credential, Participant
from portal.changes.credentials import EXPIRES_SOON, KIND_NAMES
from portal.may_send_receive import Direction

register = template.Library()

_TONES = {
    "COMMITTED": "success",
    "WAITING": "info",
    "RUNNING": "info",
    "DONE": "success",
    "FAILED": "danger",
    "RESERVED": "info",
    "ABORTED": "danger",
    "ACCEPTED": "success",
    "REJECTED": "danger",
    "PENDING": "info",
    "DEAD": "danger",
    "SENT": "success",
    "GIVEN_UP": "danger",
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

# Some states have different names in different tables. On the pages, each state has only one name.
_SHOWN_AS = {"DEAD": "GIVEN_UP", "REFUSED": "REJECTED"}


@register.filter
def money(amount: Any, currency: str = "") -> str:
    """Formats an amount in ten-thousandths: 125000 TZS as 12.50.

    If the amount has more decimals than the currency, shows all decimals.
    """
    if amount is None:
        return "–"
    whole, fraction = divmod(abs(int(amount)), 10**SCALE)
    decimals = f"{fraction:0{SCALE}}"
    least = CURRENCIES.get(currency, 2)
    kept = max(least, len(decimals.rstrip("0")))
    grouped = formats.number_format(whole, use_l10n=True, force_grouping=True)
    point = formats.get_format("DECIMAL_SEPARATOR") if kept else ""
    return f"{'−' if int(amount) < 0 else ''}{grouped}{point}{decimals[:kept]}"


# The names in the audit trail whose values are amounts in ten-thousandths.
_AMOUNTS = frozenset({"amount", "ndc", "ndc_before"})


@register.filter
def recorded(value: Any, name: str) -> str:
    """Formats a value of the audit trail for a page. The CSV file shows the value as it was recorded."""
    if value is None:
        return "–"
    if name in _AMOUNTS and isinstance(value, int):
        return money(value)
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    text = str(value)
    return text.split("\n", 1)[0] + "…" if text.startswith("-----BEGIN ") else text


@register.filter
def party(key: int) -> str:
    """Formats the key of a party. The key is a keyed hash, so it does not reveal the party's identifier."""
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
def age(seconds: float | None) -> str:
    """Formats a duration for reading: 4.2 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"


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
    """Returns a badge for a state, with the state's name as text. The colour of the badge adds no information."""
    word = str(name)
    return format_html(
        '<span class="state state-{}">{}</span>', _TONES.get(word, "secondary"), _SHOWN_AS.get(word, word)
    )


@register.filter
def yes_no(value: bool) -> SafeString:
    tone, text = ("success", _("active")) if value else ("danger", _("inactive"))
    return format_html('<span class="state state-{}">{}</span>', tone, text)


@register.filter
def direction(participant: Participant) -> SafeString | str:
    """Returns a badge if the participant may not send or may not receive.

    Returns an empty text if the participant may send and receive.
    """
    found = Direction.of(participant.may_send, participant.may_receive)
    return "" if found is Direction.BOTH else format_html('<span class="state state-warning">{}</span>', found.label)


@register.filter
def credential_kind(credential: Credential) -> str:
    return str(KIND_NAMES[Credential.Kind(credential.kind)])


@register.filter
def validity(credential: Credential) -> SafeString:
    """Returns a badge for a credential's validity.

    Warns before the end of the validity, while the credential can still be replaced.
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
    """Returns the part as a percentage of the whole, from 0 to 100."""
    if not whole or part is None:
        return 0
    return max(0, min(100, int(int(part) * 100 // int(whole))))
