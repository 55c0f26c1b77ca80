"""The settings with which this process runs, in the order of docs/settings.md. Secrets are hidden.

A test compares the list of settings with the documentation. A setting that is not in the list is not shown. So a new
secret can never appear by mistake.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# For these settings, the page shows only whether they have a value.
SECRETS = frozenset(
    {
        "DATABASE_URL",
        "EMAIL_HOST_PASSWORD",
        "EMAIL_HOST_USER",
        "EMAIL_URL",
        "METRICS_TOKEN",
        "PROXY_SECRET",
        "REDIS_URL",
        "RULES_PARTY_KEY",
        "SECRET_KEY",
        "WEBHOOK_SECRET",
    }
)
# The page shows only the host of the URLs in these settings, because paths can be secret.
URLS = frozenset({"NOTIFICATION_WEBHOOKS", "ALERT_RECIPIENTS", "ALARM_RECIPIENTS"})

SECTIONS: tuple[tuple[Promise, tuple[str, ...]], ...] = (
    (
        _("The hub and its APIs"),
        (
            "PRODUCTION",
            "SECRET_KEY",
            "DEBUG",
            "ALLOWED_HOSTS",
            "HUB_NAME",
            "SERVES",
            "DATABASE_URL",
            "DATABASE_POOL",
            "DATABASE_PREPARE",
            "DATABASE_STATEMENT_TIMEOUT_MS",
            "REDIS_URL",
            "SECURE_SSL_REDIRECT",
            "TRUSTED_PROXY_COUNT",
            "METRICS_TOKEN",
            "PROMETHEUS_MULTIPROC_DIR",
            "LOG_FORMAT",
            "LOG_LEVEL",
        ),
    ),
    (
        _("Authentication and signatures"),
        (
            "PARTICIPANT_AUTH",
            "CERTIFICATE_HEADER",
            "PROXY_SECRET",
            "SIGNATURES",
            "ALLOW_UNSIGNED_PUT_PARTIES",
            "DATE_TOLERANCE_S",
            "TOKEN_ISSUER",
            "TOKEN_AUDIENCE",
            "TOKEN_LIFETIME_S",
            "CREDENTIALS_REFRESH_S",
            "HUB_SIGNING_KEY_FILE",
            "HUB_CA_CERTIFICATE_FILE",
            "HUB_CA_KEY_FILE",
            "CLIENT_CERTIFICATE_DAYS",
            "ADMINISTRATION_AUTH",
            "ADMINISTRATION_API_READ_ONLY",
            "TWO_PEOPLE",
        ),
    ),
    (
        _("Callbacks"),
        (
            "CALLBACK_PUBLIC_ONLY",
            "CALLBACK_ALLOW",
            "CALLBACK_CA_FILE",
            "CALLBACK_CLIENT_CERT_FILE",
            "CALLBACK_CLIENT_KEY_FILE",
            "OUTBOX_BATCH",
            "OUTBOX_CONCURRENCY",
            "OUTBOX_CONCURRENCY_PER_SOURCE",
            "OUTBOX_OPEN_BYTES",
            "OUTBOX_PENDING_PER_SOURCE",
            "OUTBOX_TIMEOUT_S",
            "OUTBOX_LEASE_S",
            "OUTBOX_GIVE_UP_S",
            "OUTBOX_REQUEST_GIVE_UP_S",
        ),
    ),
    (
        _("Certification of DFSPs"),
        (
            "CERTIFICATION_REQUIRED",
            "CERTIFIER_NAME",
            "CERTIFIER_HUB_URL",
            "CERTIFIER_LISTEN",
            "CERTIFIER_URL",
            "CERTIFIER_CLIENT_CERT_FILE",
            "CERTIFIER_CLIENT_KEY_FILE",
            "CERTIFIER_SIGNING_KEY_FILE",
        ),
    ),
    (
        _("Ledger and payments"),
        (
            "LEDGER_BATCH",
            "LEDGER_BATCH_BYTES",
            "LEDGER_PACE_MS",
            "AGREEMENT_PACE_MS",
            "LEDGER_CHECK_EVERY_S",
            "TRANSFER_MAX_VALIDITY_S",
            "FX_TRANSFER_WAIT_S",
            "COMPLETED_AHEAD_MS",
            "COMPLETED_AGE_S",
            "MINOR_UNITS_ONLY",
            "RULES_PARTY_KEY",
            "SIGNALS_PER_MINUTE",
            "SIGNALS_AT_ONCE",
            "MARKERS_PER_DAY",
            "ALARM_RECIPIENTS",
            "ALARM_CALM_S",
            "ALARM_APPROVAL_S",
            "ALARM_WINDOW_S",
            "ALERT_RECIPIENTS",
            "RULES_KYC_TIER_EXTENSION",
            "RULES_COUNT",
            "CHECK_ILP_PACKETS",
            "BULK_IN_HUB_NAME",
            "PARTY_ANSWER_S",
            "CUSTOMER_ANSWER_S",
            "QUOTE_ANSWER_S",
            "BUILTIN_ORACLE_TYPES",
            "ORACLE_TIMEOUT_S",
            "ORACLE_BATCH_TIMEOUT_S",
            "ORACLE_CONCURRENCY",
            "ORACLE_CACHE_S",
        ),
    ),
    (
        _("Limits"),
        (
            "DFSP_RATE",
            "DFSP_STATE_RATE",
            "DFSP_BULK_SHARE",
            "DFSP_FAULTY_BYTES",
            "DFSP_PAUSE_MS",
            "DFSP_OPEN_REQUESTS",
            "DFSP_OPEN_BULKS",
            "WEB_BULKS",
            "SHED_LOOKUPS_S",
            "SHED_QUOTES_S",
            "SHED_TRANSFERS_S",
            "WEB_QUEUE",
            "WEB_PAGES",
            "REQUEST_DEADLINE_S",
            "MAX_BODY_BYTES",
            "MAX_BULK_BODY_BYTES",
            "MAX_ADMINISTRATION_BODY_BYTES",
            "BODY_DEADLINE_S",
        ),
    ),
    (
        _("Portal and people"),
        (
            "SESSION_AGE_S",
            "SESSION_IDLE_S",
            "INVITATION_EXPIRES_S",
            "APPROVAL_EXPIRES_S",
            "THREE_PEOPLE_FROM",
            "APPROVAL_MAIL",
            "SETTLEMENT_LATE_S",
            "DISABLE_WHILE_OWING",
            "SCHEME_COUNTRY",
            "HISTORY_TIME_ZONE",
            "RETENTION_DAYS",
        ),
    ),
    (
        _("E-mail and webhooks"),
        (
            "EMAIL_URL",
            "EMAIL_HOST",
            "EMAIL_PORT",
            "EMAIL_HOST_USER",
            "EMAIL_HOST_PASSWORD",
            "EMAIL_USE_TLS",
            "EMAIL_USE_SSL",
            "EMAIL_TIMEOUT",
            "DEFAULT_FROM_EMAIL",
            "PORTAL_URL",
            "NOTIFICATION_EXPIRES_S",
            "NOTIFICATION_WEBHOOKS",
            "WEBHOOK_SECRET",
            "WEBHOOK_TIMEOUT_S",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Shown:
    name: str
    value: str
    is_hidden: bool = False
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    title: Promise
    rows: Sequence[Shown]


def sections() -> list[Section]:
    return [Section(title, [_shown(name) for name in names]) for title, names in SECTIONS]


# Settings whose values have another name or place in Django's settings.
_ELSEWHERE: dict[str, Callable[[], Any]] = {
    "DATABASE_POOL": lambda: settings.DATABASE_POOL_OPTIONS["max_size"],
    "LEDGER_CHECK_EVERY_S": lambda: settings.CELERY_BEAT_SCHEDULE["check-ledger"]["schedule"],
    "PROMETHEUS_MULTIPROC_DIR": lambda: os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""),
    "SECURE_SSL_REDIRECT": lambda: getattr(settings, "SECURE_SSL_REDIRECT", False),
    "SESSION_AGE_S": lambda: settings.SESSION_COOKIE_AGE,
}


def value_of(name: str) -> Any:
    """Returns the value with which this process runs."""
    return _ELSEWHERE[name]() if name in _ELSEWHERE else getattr(settings, name)


def _shown(name: str) -> Shown:
    is_default = name not in os.environ
    if name in SECRETS:
        is_set = bool(getattr(settings, name, "") or os.environ.get(name))
        return Shown(name, "", is_hidden=is_set, is_default=is_default)
    return Shown(name, _text(name, value_of(name)), is_default=is_default)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if name in URLS:
        return ", ".join(_host(text) for text in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(sorted(map(str, value)) if isinstance(value, set | frozenset) else map(str, value))
    return "" if value is None else str(value)


def _host(text: str) -> str:
    """If the text is a URL, returns the URL without user, port and path. Returns an e-mail address unchanged."""
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.hostname}/…" if parts.hostname else text
