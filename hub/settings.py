"""All settings of Kitovu. Environment variables can set every value in this file.

If no environment variable is set, the settings are for a development hub.

With `PRODUCTION=true`, the hub refuses to start with a default secret or without authentication (see
`hub.production_checks`).
"""

from pathlib import Path
from zoneinfo import available_timezones

import environ
import phonenumbers
from csp.constants import NONE, SELF

from hub import logs
from hub.setting_choices import RETENTION_KINDS, amounts, one, one_or_more, periods, yes_or_no

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

PRODUCTION = env.bool("PRODUCTION", default=False)
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="development-only-secret-key-that-production-refuses")
# The APIs and pages that this process serves. In production, DFSPs and operators use separate processes, and the APIs'
# documents are served only if this list contains "docs".
SERVES = env.list("SERVES", default=["fspiop", "administration", "portal", "admin", *([] if PRODUCTION else ["docs"])])
# The bearer token that a request for /metrics must have. If the setting is empty, a production hub returns no metrics,
# and a development hub returns them to everybody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["*"])

# --- the scheme -----------------------------------------------------------------------------------------------------
HUB_NAME = env.str("HUB_NAME", default="Hub")
# The country (two letters of ISO 3166, such as TZ) of telephone numbers without a country code. If the setting is
# empty, people must write the country code.
SCHEME_COUNTRY = one(env.str("SCHEME_COUNTRY", default="").upper(), of={"", *phonenumbers.SUPPORTED_REGIONS})
# The credentials that a DFSP must have: "certificate", "token" or both. With "none", for demo and development, the hub
# trusts FSPIOP-Source.
PARTICIPANT_AUTH = one_or_more(env.list("PARTICIPANT_AUTH", default=["none"]), of={"certificate", "token"})
# FSPIOP-Signature on DFSPs' messages: "required", "checked" (if a message has a signature), or "ignored".
SIGNATURES = one(env.str("SIGNATURES", default="ignored"), of={"required", "checked", "ignored"})
# DFSPs that use the libraries of Mojaloop need this setting, because these libraries do not sign PUT /parties by
# default.
ALLOW_UNSIGNED_PUT_PARTIES = env.bool("ALLOW_UNSIGNED_PUT_PARTIES", default=False)
# How far a request's Date may differ from the hub's clock, in seconds. With 0, the hub accepts any Date.
DATE_TOLERANCE_S = env.int("DATE_TOLERANCE_S", default=0)
# Access tokens: issuer, audience and lifetime. The hub reads credentials again after CREDENTIALS_REFRESH_S.
TOKEN_ISSUER = env.str("TOKEN_ISSUER", default="kitovu")
TOKEN_AUDIENCE = env.str("TOKEN_AUDIENCE", default="fspiop")
TOKEN_LIFETIME_S = env.int("TOKEN_LIFETIME_S", default=600)
CREDENTIALS_REFRESH_S = env.float("CREDENTIALS_REFRESH_S", default=2.0)
# The callers that the administration APIs accept: "none" checks nothing (demo, development), "staff" requires Django
# staff users (development), and "oauth2" requires administration clients, which are created in the portal.
ADMINISTRATION_AUTH = one(env.str("ADMINISTRATION_AUTH", default="") or "none", of={"none", "staff", "oauth2"})
# Where changes need two people. "portal": only in the portal, so API clients and commands change values directly.
# "everywhere": also API clients and commands can only request changes. A production hub does not start with "unsaid".
TWO_PEOPLE = one(
    env.str("TWO_PEOPLE", default="") or ("unsaid" if PRODUCTION else "portal"), of={"portal", "everywhere", "unsaid"}
)
# Whether the administration APIs are read-only. A production hub does not start with None.
ADMINISTRATION_API_READ_ONLY = yes_or_no(
    env.str("ADMINISTRATION_API_READ_ONLY", default=""), unsaid=None if PRODUCTION else False
)
# The number of days for which the hub keeps each kind of customers' data. 0 or no entry means for ever. A production
# hub must have an entry for each kind.
RETENTION_DAYS = periods(env.dict("RETENTION_DAYS", default={}), of=RETENTION_KINDS)
# The time zone in which the days, weeks and months of the history of payments begin. After a change, run
# `manage.py rebuild_history`.
HISTORY_TIME_ZONE = one(env.str("HISTORY_TIME_ZONE", default="UTC"), of=available_timezones())
# The request header in which the TLS proxy forwards the client's certificate.
CERTIFICATE_HEADER = env.str("CERTIFICATE_HEADER", default="X-SSL-Client-Cert")
# The secret that the TLS proxy must send when it forwards a certificate.
PROXY_SECRET = env.str("PROXY_SECRET", default="")
# PEM file of the hub's RSA key, which signs the hub's own messages. If the setting is empty, the hub does not sign its
# messages.
HUB_SIGNING_KEY_FILE = env.str("HUB_SIGNING_KEY_FILE", default="")
# PEM files of the authority that signs DFSPs' client certificates in the portal, and of the authority's key (`manage.py
# authority create`). Only the operators' process needs these files. CLIENT_CERTIFICATE_DAYS is the lifetime of a DFSP's
# certificate.
HUB_CA_CERTIFICATE_FILE = env.str("HUB_CA_CERTIFICATE_FILE", default="")
HUB_CA_KEY_FILE = env.str("HUB_CA_KEY_FILE", default="")
CLIENT_CERTIFICATE_DAYS = env.int("CLIENT_CERTIFICATE_DAYS", default=365)
# The seconds for which an agreed conversion still waits for its transfer after the conversion's own expiration.
FX_TRANSFER_WAIT_S = env.int("FX_TRANSFER_WAIT_S", default=300)
# The longest time that a transfer may hold its reservation, in seconds.
TRANSFER_MAX_VALIDITY_S = env.int("TRANSFER_MAX_VALIDITY_S", default=7 * 24 * 3600)
# Whether the hub sends the callbacks of bulk transfers in its own name, as the reference hub does. Otherwise the hub
# forwards DFSPs' own messages if they are correct.
BULK_IN_HUB_NAME = env.bool("BULK_IN_HUB_NAME", default=False)
# Whether the hub also compares a transfer with its ILP packet, and both with the answer to the quote. The API leaves
# these comparisons to the payee DFSP.
CHECK_ILP_PACKETS = env.bool("CHECK_ILP_PACKETS", default=False)
# The key of the extension in which the scheme's DFSPs name the payer's KYC tier, for the scheme's rules.
RULES_KYC_TIER_EXTENSION = env.str("RULES_KYC_TIER_EXTENSION", default="kycTier")
# The key of the hash by which profiles know parties (`rules.party_keys`). If the key changes, all profiles begin at
# zero.
RULES_PARTY_KEY = env.str("RULES_PARTY_KEY", default="development-only-party-key-that-production-refuses")
# Whether the hub counts payments in profiles even while no rules are active. New rules then find counts of earlier
# payments.
RULES_COUNT = env.bool("RULES_COUNT", default=False)
# How many requests for a payee's signals a DFSP may send: per minute, and in one burst after a pause.
SIGNALS_PER_MINUTE = env.int("SIGNALS_PER_MINUTE", default=600)
SIGNALS_AT_ONCE = env.int("SIGNALS_AT_ONCE", default=3000)
# How many fraud markers and appeals a DFSP may file in a day.
MARKERS_PER_DAY = env.int("MARKERS_PER_DAY", default=500)
# The e-mail addresses and URLs that receive a notification of new fraud alerts, in addition to NOTIFICATION_WEBHOOKS.
ALERT_RECIPIENTS = env.list("ALERT_RECIPIENTS", default=[])
# ALARM_RECIPIENTS are the e-mail addresses and URLs that receive new alarms, in addition to NOTIFICATION_WEBHOOKS. An
# alarm ends ALARM_CALM_S after its cause has gone. A request that waits for approval raises an alarm after
# ALARM_APPROVAL_S. A window that is open or not settled raises an alarm after ALARM_WINDOW_S (0: never).
ALARM_RECIPIENTS = env.list("ALARM_RECIPIENTS", default=[])
ALARM_CALM_S = env.int("ALARM_CALM_S", default=60)
ALARM_APPROVAL_S = env.int("ALARM_APPROVAL_S", default=4 * 3600)
ALARM_WINDOW_S = env.int("ALARM_WINDOW_S", default=26 * 3600)
# Whether the hub refuses every message with an amount that has more decimals than its currency.
MINOR_UNITS_ONLY = env.bool("MINOR_UNITS_ONLY", default=True)
# How far a payee's completedTimestamp may be ahead of the hub's clock, and how far it may be behind.
COMPLETED_AHEAD_MS = env.int("COMPLETED_AHEAD_MS", default=200)
COMPLETED_AGE_S = env.int("COMPLETED_AGE_S", default=300)
# The PartyIdTypes for which the hub's own oracle answers.
BUILTIN_ORACLE_TYPES = env.list(
    "BUILTIN_ORACLE_TYPES", default=["MSISDN", "EMAIL", "PERSONAL_ID", "BUSINESS", "DEVICE", "IBAN", "ALIAS"]
)
# A request waits for an external oracle for at most ORACLE_TIMEOUT_S, and a batch for ORACLE_BATCH_TIMEOUT_S.
# ORACLE_CONCURRENCY limits a web process's simultaneous requests to one oracle, in addition to each DFSP's first
# request. One DFSP may have at most half of these further requests. The hub caches an oracle's answers for
# ORACLE_CACHE_S (0: not at all).
ORACLE_TIMEOUT_S = env.float("ORACLE_TIMEOUT_S", default=2.0)
ORACLE_BATCH_TIMEOUT_S = env.float("ORACLE_BATCH_TIMEOUT_S", default=10.0)
ORACLE_CONCURRENCY = env.int("ORACLE_CONCURRENCY", default=8)
ORACLE_CACHE_S = env.int("ORACLE_CACHE_S", default=30)
# How long a DFSP may take to answer GET /parties before the requester gets 2004. This time must be longer than the
# longest delivery of the request. After a request of any kind has ended, the hub accepts late or repeated answers for
# this time.
PARTY_ANSWER_S = env.int("PARTY_ANSWER_S", default=25)
# How long a DFSP may take to answer a request for terms (quotes of each kind) without an expiration.
QUOTE_ANSWER_S = env.int("QUOTE_ANSWER_S", default=60)
# How long a DFSP may take to answer GET /authorizations, /transactions and /transactionRequests. The DFSP may need its
# customer's answer first.
CUSTOMER_ANSWER_S = env.int("CUSTOMER_ANSWER_S", default=300)
# One DFSP's limits in a web process: DFSP_RATE limits requests per second and the largest burst, and DFSP_OPEN_REQUESTS
# limits open requests. Further requests of the DFSP get 429. The number of open requests must be below 3/4 of
# WEB_QUEUE, so that no DFSP can fill the queue. 0 means no limit.
DFSP_RATE = env.float("DFSP_RATE", default=0.0)
DFSP_OPEN_REQUESTS = env.int("DFSP_OPEN_REQUESTS", default=112)
# DFSP_STATE_RATE limits, per second, requests that only read the state of a payment (GET /transfers/{ID} and similar
# requests). The hub waits DFSP_PAUSE_MS, in milliseconds, before it refuses a request because of a rate.
DFSP_STATE_RATE = env.float("DFSP_STATE_RATE", default=10.0)
DFSP_PAUSE_MS = env.int("DFSP_PAUSE_MS", default=500)
# How many bulks (/bulkTransfers, /bulkQuotes, many aliases) a web process handles at once: DFSP_OPEN_BULKS of one DFSP,
# WEB_BULKS of all DFSPs.
DFSP_OPEN_BULKS = env.int("DFSP_OPEN_BULKS", default=4)
# The share of a web process's time that the bulks of one DFSP may take. 0 means no limit.
DFSP_BULK_SHARE = env.float("DFSP_BULK_SHARE", default=0.2)
WEB_BULKS = env.int("WEB_BULKS", default=16)
# The largest bodies in bytes: of a message, of a bulk message, and of the administration, settlement and oracle APIs.
# FSPIOP API v1.1, table 1, allows every message to be as large as a bulk message. A body may have one JSON value for
# each 32 bytes of its largest size.
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=65_536)
MAX_BULK_BODY_BYTES = env.int("MAX_BULK_BODY_BYTES", default=5_242_880)
MAX_ADMINISTRATION_BODY_BYTES = env.int("MAX_ADMINISTRATION_BODY_BYTES", default=1_048_576)
# The seconds within which a request's body must arrive. This time must exceed REQUEST_DEADLINE_S, because the hub
# detects a slow body by the missing response.
BODY_DEADLINE_S = env.int("BODY_DEADLINE_S", default=20)

# Whether the hub calls only public addresses, and which further networks (or address:port) the hub may call.
CALLBACK_PUBLIC_ONLY = env.bool("CALLBACK_PUBLIC_ONLY", default=PRODUCTION)
CALLBACK_ALLOW = env.list("CALLBACK_ALLOW", default=[])
# PEM files for the hub's own requests: the authorities that the hub trusts (if empty, the operating system's), and the
# hub's client certificate and key.
CALLBACK_CA_FILE = env.str("CALLBACK_CA_FILE", default="")
CALLBACK_CLIENT_CERT_FILE = env.str("CALLBACK_CLIENT_CERT_FILE", default="")
CALLBACK_CLIENT_KEY_FILE = env.str("CALLBACK_CLIENT_KEY_FILE", default="")

# --- e-mail and webhooks --------------------------------------------------------------------------------------------
# EMAIL_URL (smtp+tls://user:password@host:587) or Django's own names; "none" means that this hub sends no e-mail.
_EMAIL_URL = env.str("EMAIL_URL", default="")
_EMAIL = env.email_url("EMAIL_URL") if _EMAIL_URL not in ("", "none") else {}
EMAIL_IS_DECIDED = bool(_EMAIL_URL or env.str("EMAIL_HOST", default=""))
EMAIL_BACKEND = _EMAIL.get("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = "" if _EMAIL_URL == "none" else _EMAIL.get("EMAIL_HOST") or env.str("EMAIL_HOST", default="")
EMAIL_PORT = _EMAIL.get("EMAIL_PORT") or env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = _EMAIL.get("EMAIL_HOST_USER") or env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = _EMAIL.get("EMAIL_HOST_PASSWORD") or env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = bool(_EMAIL.get("EMAIL_USE_TLS", env.bool("EMAIL_USE_TLS", default=False)))
EMAIL_USE_SSL = bool(_EMAIL.get("EMAIL_USE_SSL", env.bool("EMAIL_USE_SSL", default=False)))
EMAIL_FILE_PATH = _EMAIL.get("EMAIL_FILE_PATH") or None
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)  # seconds, for each step of the exchange with the mail server
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="kitovu@localhost")
# Whether people receive e-mail at all. If not, two people hand over an invitation's link and its code.
SENDS_EMAIL = bool(_EMAIL or EMAIL_HOST)
# The portal's address for people; links in e-mails begin with it.
PORTAL_URL = env.str("PORTAL_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}")
# URLs that receive notifications for operators. The hub signs each request with a key that it derives from
# WEBHOOK_SECRET.
NOTIFICATION_WEBHOOKS = env.list("NOTIFICATION_WEBHOOKS", default=[])
WEBHOOK_SECRET = env.str("WEBHOOK_SECRET", default="")
WEBHOOK_TIMEOUT_S = env.int("WEBHOOK_TIMEOUT_S", default=5)
# the time after which the hub gives up an e-mail or webhook
NOTIFICATION_EXPIRES_S = env.int("NOTIFICATION_EXPIRES_S", default=24 * 3600)

# --- certification of DFSPs (`portal.certification`) ----------------------------------------------------------------
# Whether a participant must pass the certification before it goes live.
CERTIFICATION_REQUIRED = env.bool("CERTIFICATION_REQUIRED", default=False)
# The name of the participant in whose name the hub tests DFSPs. No other participant may have this name.
CERTIFIER_NAME = env.str("CERTIFIER_NAME", default="certifier")
# The certifier finds the hub's FSPIOP API at CERTIFIER_HUB_URL. It accepts callbacks on CERTIFIER_LISTEN (host:port,
# with port 0 for any free port). Workers send these callbacks to CERTIFIER_URL (if empty, http://host:port).
CERTIFIER_HUB_URL = env.str("CERTIFIER_HUB_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}")
CERTIFIER_LISTEN = env.str("CERTIFIER_LISTEN", default="127.0.0.1:0")
CERTIFIER_URL = env.str("CERTIFIER_URL", default="")
# PEM files: the certifier's client certificate and key for the hub's FSPIOP API; and its signing key. Without a file,
# the certifier makes a signing key for each run.
CERTIFIER_CLIENT_CERT_FILE = env.str("CERTIFIER_CLIENT_CERT_FILE", default="")
CERTIFIER_CLIENT_KEY_FILE = env.str("CERTIFIER_CLIENT_KEY_FILE", default="")
CERTIFIER_SIGNING_KEY_FILE = env.str("CERTIFIER_SIGNING_KEY_FILE", default="")

# --- the ledger's engine --------------------------------------------------------------------------------------------
LEDGER_BATCH = env.int("LEDGER_BATCH", default=200)  # the most commands in one transaction
LEDGER_BATCH_BYTES = env.int("LEDGER_BATCH_BYTES", default=1_048_576)  # the most bytes of their messages
# The pause between two transactions of a busy process, in milliseconds. During the pause, more commands arrive for the
# next transaction, which saves work.
LEDGER_PACE_MS = env.int("LEDGER_PACE_MS", default=40)
# The same pause for lookups and quotes, which have separate transactions. Each payment has four such messages before
# its transfer.
AGREEMENT_PACE_MS = env.int("AGREEMENT_PACE_MS", default=20)
# A process with more open DFSP requests than this number responds with 503. The number must be below the number of
# threads. Otherwise all threads could be waiting, and no thread would be left to respond with 503.
WEB_QUEUE = env.int("WEB_QUEUE", default=192)
# The number of requests to the portal, to the administration and for documents that a process handles at once. In a
# process that also serves DFSPs, the number is at most half of DATABASE_POOL.
WEB_PAGES = env.int("WEB_PAGES", default=8 if "fspiop" in SERVES else 64)
REQUEST_DEADLINE_S = env.int("REQUEST_DEADLINE_S", default=15)
# How long messages may wait for couriers, in seconds, before new lookups, requests for terms and transfers get 503.
# With 0, the hub never refuses them for this reason. The hub never refuses callbacks for this reason.
SHED_LOOKUPS_S = env.float("SHED_LOOKUPS_S", default=0.5)
SHED_QUOTES_S = env.float("SHED_QUOTES_S", default=1.0)
SHED_TRANSFERS_S = env.float("SHED_TRANSFERS_S", default=2.0)

# --- callbacks ------------------------------------------------------------------------------------------------------
OUTBOX_BATCH = env.int("OUTBOX_BATCH", default=100)  # messages claimed at once
OUTBOX_CONCURRENCY = env.int("OUTBOX_CONCURRENCY", default=40)  # open requests per destination and worker process
# The most of these open requests that one participant may cause, so that places are always left for other participants.
OUTBOX_CONCURRENCY_PER_SOURCE = env.int("OUTBOX_CONCURRENCY_PER_SOURCE", default=32)
# No more deliveries begin while the bodies of all open deliveries together exceed this size.
OUTBOX_OPEN_BYTES = env.int("OUTBOX_OPEN_BYTES", default=2 * 1024 * 1024)
# How many messages that one participant causes may wait at one destination, before its next requests get 429.
OUTBOX_PENDING_PER_SOURCE = env.int("OUTBOX_PENDING_PER_SOURCE", default=5000)
OUTBOX_TIMEOUT_S = env.int("OUTBOX_TIMEOUT_S", default=5)  # the time limit of a whole delivery
OUTBOX_LEASE_S = env.int("OUTBOX_LEASE_S", default=10)
OUTBOX_GIVE_UP_S = env.int("OUTBOX_GIVE_UP_S", default=24 * 3600)
# The hub gives up a request such as GET /parties or POST /quotes after this time, and notifies the requester that waits
# for the answer.
OUTBOX_REQUEST_GIVE_UP_S = env.int("OUTBOX_REQUEST_GIVE_UP_S", default=20)

# --- Django ---------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "portal.apps.OurAdminConfig",  # Django's admin, with the portal's sign-in
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "crispy_forms",
    "crispy_bootstrap5",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "hub",
    "hub.participants",
    "hub.recordings",
    "hub.sweeps",
    "hub.administration",
    "hub.audit",
    "hub.notifications",
    "hub.outbox",
    "rules.rulesets",
    "rules.profiles",
    "rules.alerts",
    "rules.lists",
    "rules.signals",
    "rules.markers",
    "directory",
    "quotes",
    "ledger",
    "settlement",
    "portal",
]
MIDDLEWARE = [
    "hub.api.middleware.DfspShortcut",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "portal.visit_middleware.Visit",
]
ROOT_URLCONF = "hub.urls"
WSGI_APPLICATION = "hub.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.portal",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- people who sign in: the portal, and Django's admin -------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["portal.sign_in.Backend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "portal.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = True  # portal.sign_in writes these notifications to the audit trail and sends no e-mail
ACCOUNT_SESSION_REMEMBER = True  # the cookie lives as long as the session; an idle session ends earlier
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# hub.api.password_attempts counts failures. With allauth's own count, an attacker could lock a person out.
ACCOUNT_RATE_LIMITS = {"login_failed": None, "login": None}
MFA_ADAPTER = "portal.sign_in.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "portal.one_time_code_attempts.Code",
    "reauthenticate": "portal.one_time_code_attempts.CodeAgain",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # if the hub sends e-mail, opening the invitation has verified the address
MFA_TOTP_ISSUER = f"Kitovu {HUB_NAME}"
# The number of the scheme's own proxies in front of the hub, each of which adds an address to X-Forwarded-For.
# Production must set it.
TRUSTED_PROXY_COUNT_IS_SAID = bool(env.str("TRUSTED_PROXY_COUNT", default=""))
TRUSTED_PROXY_COUNT = ALLAUTH_TRUSTED_PROXY_COUNT = (
    env.int("TRUSTED_PROXY_COUNT", default=0) if TRUSTED_PROXY_COUNT_IS_SAID else 0
)
# after this time, even an active person must sign in again
SESSION_COOKIE_AGE = env.int("SESSION_AGE_S", default=12 * 3600)
SESSION_IDLE_S = env.int("SESSION_IDLE_S", default=30 * 60)  # after this time without activity, a session ends
SESSION_COOKIE_NAME = "kitovu_session"
# The time in one state after which the portal shows a settlement as late.
SETTLEMENT_LATE_S = env.int("SETTLEMENT_LATE_S", default=24 * 3600)
# Whether a participant that has reserved amounts or owes money can be disabled.
DISABLE_WHILE_OWING = env.bool("DISABLE_WHILE_OWING", default=True)
# How long a change request waits for another person's approval.
APPROVAL_EXPIRES_S = env.int("APPROVAL_EXPIRES_S", default=3 * 24 * 3600)
# From these amounts on, a change needs three people: one requests the change, and two approve it.
# TZS=50000000,KES=2000000.
THREE_PEOPLE_FROM = amounts(env.dict("THREE_PEOPLE_FROM", default={}))
# Whether people get an e-mail about requests that they may approve.
APPROVAL_MAIL = env.bool("APPROVAL_MAIL", default=True)
INVITATION_EXPIRES_S = env.int("INVITATION_EXPIRES_S", default=24 * 3600)  # how long an invitation is valid
CRISPY_ALLOWED_TEMPLATE_PACKS = CRISPY_TEMPLATE_PACK = "bootstrap5"
CSRF_FAILURE_VIEW = "portal.views.errors.csrf_failed"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# The time limit of a database statement in each serving process. Waits for locks and idle transactions also have limits
# of seconds (docs/architecture.md).
DATABASE_STATEMENT_TIMEOUT_MS = _STATEMENT_TIMEOUT_MS = env.int("DATABASE_STATEMENT_TIMEOUT_MS", default=5000)
_POOL = env.int("DATABASE_POOL", default=0)
DATABASE_POOL_OPTIONS = {
    "min_size": 1,
    "max_size": _POOL,
    "timeout": 1,  # seconds; hub.postgresql waits again until DATABASE_POOL_PATIENCE_S has passed
    # After a failure of the database, the next request connects again. Otherwise the pool's pauses would grow to 8 s
    # and more, and no request would get a connection during a pause.
    "reconnect_timeout": 1,
}
DATABASE_POOL_PATIENCE_S = 5
# Whether the threads that decide transfers prepare their SQL statements. Set this to false behind a pooler that assigns
# another connection to each transaction, unless the pooler supports prepared statements.
DATABASE_PREPARE = env.bool("DATABASE_PREPARE", default=True)
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres://hub@127.0.0.1:5432/hub")}
# Options in the URL's query, such as sslmode or target_session_attrs, override the options here.
_TOLD = DATABASES["default"].get("OPTIONS", {})
DATABASES["default"] |= {
    "ENGINE": "hub.postgresql",
    "CONN_MAX_AGE": 0 if _POOL else None,
    "CONN_HEALTH_CHECKS": not _POOL,  # hub.postgresql checks each connection from the pool
    "DISABLE_SERVER_SIDE_CURSORS": True,
    "OPTIONS": {
        "connect_timeout": 3,
        "tcp_user_timeout": 5000,
        "keepalives_idle": 10,
    }
    | _TOLD
    | {
        "options": (
            f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c lock_timeout={min(_STATEMENT_TIMEOUT_MS, 2000)}"
            f" -c idle_in_transaction_session_timeout=10000 {_TOLD.get('options', '')}"
        ).rstrip(),
    }
    | ({"pool": DATABASE_POOL_OPTIONS} if _POOL else {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "socket_timeout": 1,
            "socket_connect_timeout": 1,
            "serializer": "hub.cache_serializer.JsonSerializer",
        },
    },
    # A cache inside of one process, whose values expire after some seconds. The cached objects never leave the process.
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français"), ("sw", "Kiswahili")]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["portal.formats"]
STATIC_URL = "/static/"
# The folder into which collectstatic copies files for production. Development serves them from their source folders.
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = not PRODUCTION
# The size limit for a form without its files, in bytes. The largest form has the scheme's rules as JSON. For each page,
# `portal.visit_middleware` has a lower limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_065_536

SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    LANGUAGE_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- Celery: hints only; the database has all data (docs/architecture.md) -------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
# Without this setting, Celery would open a database connection for each tick. hub.celery checks whether the existing
# connection still works.
CELERY_DB_REUSE_MAX = 1000
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 60
CELERY_TASK_DEFAULT_EXPIRES = 30
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # This option is off, because the next tick does the work of a lost tick. With the option, kombu would end a worker
    # with an AttributeError when Redis fails during a tick.
    "ack_emulation": False,
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "health_check_interval": 5,
    "global_keyprefix": "celery:",
}
# The functions that run every second. One task runs them all, because a Celery task costs more than a check for due
# work.
EACH_SECOND = [
    "ledger.tasks.expire_transfers",
    "ledger.tasks.release_held_transfers",
    "quotes.tasks.fail_unanswered",
    "directory.tasks.report_unanswered",
    "rules.profiles.tasks.fold",
    "rules.lists.tasks.screen_names",
    "rules.alerts.tasks.merge",
    "settlement.tasks.catch_up",
]
CELERY_BEAT_SCHEDULE = {
    "each-second": {"task": "hub.tasks.each_second", "schedule": 1.0, "options": {"expires": 5}},
    "watch-positions": {"task": "ledger.tasks.watch_positions", "schedule": 5.0, "options": {"expires": 5}},
    "tidy-lists": {"task": "rules.lists.tasks.tidy", "schedule": 3600.0, "options": {"expires": 600}},
    "check-ledger": {
        "task": "portal.tasks.check_ledger",
        "schedule": env.float("LEDGER_CHECK_EVERY_S", default=300.0),
        "options": {"expires": 60},
    },
    "remove-old": {"task": "portal.tasks.remove_old", "schedule": 3600.0, "options": {"expires": 600}},
    "replay-rules": {"task": "portal.tasks.replay_rules", "schedule": 5.0, "options": {"expires": 5}},
    "certify": {"task": "portal.tasks.certify", "schedule": 5.0, "options": {"expires": 5}},
    "withdraw-outdated": {"task": "portal.tasks.withdraw_outdated", "schedule": 60.0, "options": {"expires": 60}},
    "mark-entries": {"task": "portal.tasks.mark_entries", "schedule": 10.0, "options": {"expires": 10}},
    "watch": {"task": "portal.tasks.watch", "schedule": 10.0, "options": {"expires": 10}},
    "fold-history": {"task": "portal.tasks.fold_history", "schedule": 30.0, "options": {"expires": 25}},
    "heartbeat": {"task": "hub.tasks.heartbeat", "schedule": 2.0, "options": {"expires": 5}},
    "tidy-notifications": {
        "task": "hub.notifications.tasks.tidy",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "hub.api.openapi.Schema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kitovu",
    "DESCRIPTION": "An instant payments hub: FSPIOP for DFSPs, and the hub's administration.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",  # the schemas of the messages use JSON Schema 2020-12
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "hub.api.fspiop_document.complete",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
}

LOG_FORMAT = env.str("LOG_FORMAT", default="json")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = logs.configure(log_format=LOG_FORMAT, level=LOG_LEVEL)
