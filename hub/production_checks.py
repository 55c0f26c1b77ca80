"""Finds settings with which a production hub must not start. This check runs in `manage.py check` and when a process
starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from hub import egress
from hub.setting_choices import RETENTION_KINDS

_OWN_MACHINE = ("localhost", "127.0.0.1", "::1")
_MOST_BODY_BYTES = 262_144  # 256 such bodies in memory at the same time need 64 MiB


def faults() -> list[str]:
    """Returns one sentence for each setting with which a production hub must not start. The list is empty in
    development."""
    if not settings.PRODUCTION:
        return []
    found = []
    key = settings.SECRET_KEY
    if key.startswith("development-only") or len(key) < 50 or len(set(key)) < 5:
        found.append("SECRET_KEY is the default, too simple, or shorter than 50 characters: set a long random one.")
    if settings.RULES_PARTY_KEY.startswith("development-only") or len(settings.RULES_PARTY_KEY) < 32:
        found.append("RULES_PARTY_KEY is the default, or shorter than 32 characters: set a long random one.")
    if settings.DEBUG:
        found.append("DEBUG is on: unset it.")
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        found.append("ALLOWED_HOSTS is empty or allows every host: list the host names of this hub.")
    if not settings.PARTICIPANT_AUTH:
        found.append("PARTICIPANT_AUTH is none: set it to certificate, token or both (certificate,token).")
    if settings.SIGNATURES != "required":
        found.append("SIGNATURES is not set to required: DFSPs must sign their messages.")
    if not 60 <= settings.TOKEN_LIFETIME_S <= 3600:
        found.append("TOKEN_LIFETIME_S must be between 60 and 3600: a stolen token must expire soon.")
    if "certificate" in settings.PARTICIPANT_AUTH and len(settings.PROXY_SECRET) < 32:
        found.append("PROXY_SECRET is shorter than 32 characters: the TLS proxy proves its identity by this secret.")
    if not settings.CALLBACK_PUBLIC_ONLY:
        found.append("CALLBACK_PUBLIC_ONLY is off: list private networks in CALLBACK_ALLOW instead.")
    if settings.MAX_BODY_BYTES > _MOST_BODY_BYTES:
        found.append(f"MAX_BODY_BYTES is above {_MOST_BODY_BYTES}: only bulks can be larger, see MAX_BULK_BODY_BYTES.")
    if settings.BODY_DEADLINE_S <= settings.REQUEST_DEADLINE_S:
        found.append("BODY_DEADLINE_S must be above REQUEST_DEADLINE_S: the hub shuts connections without a response.")
    if not 2 * settings.DFSP_OPEN_REQUESTS < settings.WEB_QUEUE:
        found.append("DFSP_OPEN_REQUESTS must be below half of WEB_QUEUE: one DFSP could stop the others' lookups.")
    try:
        egress.allowed(tuple(settings.CALLBACK_ALLOW))
    except ImproperlyConfigured as error:
        found.append(str(error))
    if settings.ADMINISTRATION_AUTH != "oauth2":
        found.append("ADMINISTRATION_AUTH is not oauth2: nobody must move money by a password alone.")
    if settings.TWO_PEOPLE == "unsaid":
        found.append(
            'TWO_PEOPLE is not set: use "everywhere", or use "portal" if API clients and commands may make changes'
            " without the second person that the portal requires.",
        )
    if settings.ADMINISTRATION_API_READ_ONLY is None:
        found.append("ADMINISTRATION_API_READ_ONLY is not set: use true, or false if API clients may make changes.")
    if not settings.TRUSTED_PROXY_COUNT_IS_SAID:
        found.append(
            "TRUSTED_PROXY_COUNT is not set: give the number of your proxies in front of the hub (1 for one front)."
            " Otherwise all requests seem to come from the proxy, and one person's wrong passwords lock everybody out."
        )
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 32:
        found.append("METRICS_TOKEN is shorter than 32 characters: anyone who guesses it can read /metrics.")
    if not settings.HUB_SIGNING_KEY_FILE:
        found.append("HUB_SIGNING_KEY_FILE is not set: the hub must sign its own messages.")
    if unsaid := [kind for kind in RETENTION_KINDS if kind not in settings.RETENTION_DAYS]:
        found.append(
            f"RETENTION_DAYS does not name {', '.join(unsaid)}: give the days for which the hub keeps each, 0 for ever,"
            " such as bodies=400,quotes=400,lookups=30,deliveries=30,sessions=30,facts=400,decisions=400,hits=0,"
            "signals=400."
        )
    return found + _faults_of_email() + _faults_of_webhooks()


def _faults_of_email() -> list[str]:
    if not settings.EMAIL_IS_DECIDED:
        return [
            "EMAIL_URL is not set: give the mail server (smtp+tls://user:password@host:587). Or set it to none;"
            " then two people hand over each invitation."
        ]
    if not settings.SENDS_EMAIL:
        return []
    found = []
    is_sent = settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend" and settings.EMAIL_HOST
    if not is_sent:
        found.append("EMAIL_URL names no mail server, so nobody would get invitations: use smtp+tls://.")
    elif not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL or settings.EMAIL_HOST in _OWN_MACHINE):
        found.append("EMAIL_URL or EMAIL_HOST sends without TLS: others could read an invitation's link.")
    if settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        found.append("DEFAULT_FROM_EMAIL is not set: give the sender's address of this hub's e-mails.")
    if not settings.PORTAL_URL.startswith("https://"):
        found.append("PORTAL_URL is not an https:// address: links in e-mails begin with it.")
    return found


def _faults_of_webhooks() -> list[str]:
    found = []
    if settings.NOTIFICATION_WEBHOOKS and len(settings.WEBHOOK_SECRET) < 32:
        found.append("WEBHOOK_SECRET is shorter than 32 characters: the hub's signatures of webhooks depend on it.")
    if not all(url.startswith("https://") for url in settings.NOTIFICATION_WEBHOOKS):
        found.append("NOTIFICATION_WEBHOOKS must be https:// addresses.")
    return found


@register()
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [Error(text, id=f"hub.E{number:03}") for number, text in enumerate(faults(), 1)]


def refuse_if_faulty() -> None:
    """If a production hub must not start with these settings, prints the reasons and ends the process."""
    found = faults()
    if found:
        raise ImproperlyConfigured("This hub does not start with PRODUCTION=true:\n  " + "\n  ".join(found))
