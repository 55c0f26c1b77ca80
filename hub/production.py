"""What a production hub must not start with. Run by `manage.py check` and at the start of every process."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from hub import egress

_MOST_BODY_BYTES = 262_144  # 192 of them at once are 48 MiB


def faults() -> list[str]:
    """One sentence for each setting with which a production hub must not start; empty in development."""
    if not settings.PRODUCTION:
        return []
    found = []
    key = settings.SECRET_KEY
    if key.startswith("development-only") or len(key) < 50 or len(set(key)) < 5:
        found.append("SECRET_KEY is the default, shorter than 50 characters or no secret: set a long random one.")
    if settings.DEBUG:
        found.append("DEBUG is on: unset it.")
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        found.append("ALLOWED_HOSTS is empty or open: list the host names that this hub serves.")
    if not settings.PARTICIPANT_AUTH:
        found.append("PARTICIPANT_AUTH is none: set it to certificate, token or both (certificate,token).")
    if settings.SIGNATURES != "required":
        found.append("SIGNATURES is not required: a DFSP must sign what it sends.")
    if not 60 <= settings.TOKEN_LIFETIME_S <= 3600:
        found.append("TOKEN_LIFETIME_S must be between 60 and 3600: a stolen token must end soon.")
    if "certificate" in settings.PARTICIPANT_AUTH and len(settings.PROXY_SECRET) < 32:
        found.append("PROXY_SECRET is shorter than 32 characters: the TLS proxy must prove itself with it.")
    if not settings.CALLBACK_PUBLIC_ONLY:
        found.append("CALLBACK_PUBLIC_ONLY is off: list private networks in CALLBACK_ALLOW instead.")
    if settings.MAX_BODY_BYTES > _MOST_BODY_BYTES:
        found.append(f"MAX_BODY_BYTES is above {_MOST_BODY_BYTES}: only bulks may be larger, see MAX_BULK_BODY_BYTES.")
    if settings.BODY_DEADLINE_S <= settings.REQUEST_DEADLINE_S:
        found.append(
            "BODY_DEADLINE_S must be above REQUEST_DEADLINE_S: who was answered by then is known to be at work."
        )
    try:
        egress.allowed(tuple(settings.CALLBACK_ALLOW))
    except ImproperlyConfigured as error:
        found.append(str(error))
    if settings.ADMINISTRATION_AUTH == "none":
        found.append("ADMINISTRATION_AUTH is none: set it to staff.")
    if not settings.HUB_SIGNING_KEY_FILE:
        found.append("HUB_SIGNING_KEY_FILE is not set: the hub must sign what it originates.")
    return found


@register()
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [Error(text, id=f"hub.E{number:03}") for number, text in enumerate(faults(), 1)]


def refuse_if_faulty() -> None:
    """Ends the process, saying why, where production settings are not fit for production."""
    found = faults()
    if found:
        raise ImproperlyConfigured("This hub does not start with PRODUCTION=true:\n  " + "\n  ".join(found))
