"""All settings of Kitovu. Environment variables can set every value in this file.

If no environment variable is set, the settings are for a development hub.

With `PRODUCTION=true`, the hub does not start if a secret has its default value or if authentication is off (see
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
# The APIs and pages that this process serves. In production, DFSPs and operators use separate processes. The default in
# production does not contain "docs", the documents about the APIs.
SERVES = env.list("SERVES", default=["fspiop", "administration", "portal", "admin", *([] if PRODUCTION else ["docs"])])
# The bearer token that requests for /metrics must contain. Without this setting, a production hub returns metrics to
# nobody, and a development hub returns metrics to everybody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["*"])

# --- the scheme -----------------------------------------------------------------------------------------------------
HUB_NAME = env.str("HUB_NAME", default="Hub")
# The country to which telephone numbers without a country code belong: two letters of ISO 3166, such as TZ. Without
# this setting, people must always write the country code.
SCHEME_COUNTRY = one(env.str("SCHEME_COUNTRY", default="").upper(), of={"", *phonenumbers.SUPPORTED_REGIONS})
# The credentials that a DFSP's requests must contain: "certificate", "token" or both. "none" is for demos and
# development: the hub then trusts FSPIOP-Source.
PARTICIPANT_AUTH = one_or_more(env.list("PARTICIPANT_AUTH", default=["none"]), of={"certificate", "token"})
# The hub's use of FSPIOP-Signature in DFSPs' messages: "required", "checked" or "ignored". With "checked", a message
# without a signature is accepted.
SIGNATURES = one(env.str("SIGNATURES", default="ignored"), of={"required", "checked", "ignored"})
# Set this to true if DFSPs use the libraries of Mojaloop, which do not sign PUT /parties by default.
ALLOW_UNSIGNED_PUT_PARTIES = env.bool("ALLOW_UNSIGNED_PUT_PARTIES", default=False)
# The largest allowed difference between a request's Date header and the hub's clock, in seconds. 0 means no limit.
DATE_TOLERANCE_S = env.int("DATE_TOLERANCE_S", default=0)
# The issuer, the audience and the lifetime of access tokens. CREDENTIALS_REFRESH_S is the time after which a process
# reads all credentials from the database again.
TOKEN_ISSUER = env.str("TOKEN_ISSUER", default="kitovu")
TOKEN_AUDIENCE = env.str("TOKEN_AUDIENCE", default="fspiop")
TOKEN_LIFETIME_S = env.int("TOKEN_LIFETIME_S", default=600)
CREDENTIALS_REFRESH_S = env.float("CREDENTIALS_REFRESH_S", default=2.0)
# Who can use the administration APIs. "none": everybody (for demos and development). "staff": Django's staff users (for
# development). "oauth2": administration clients, which people create in the portal.
ADMINISTRATION_AUTH = one(env.str("ADMINISTRATION_AUTH", default="") or "none", of={"none", "staff", "oauth2"})
# Which changes need a second person. "portal": only changes in the portal, but not changes by API clients and commands.
# "everywhere": also the changes that API clients and commands request. A production hub does not start with "unsaid".
TWO_PEOPLE = one(
    env.str("TWO_PEOPLE", default="") or ("unsaid" if PRODUCTION else "portal"), of={"portal", "everywhere", "unsaid"}
)
# Whether the administration APIs are read-only. A production hub does not start with None.
ADMINISTRATION_API_READ_ONLY = yes_or_no(
    env.str("ADMINISTRATION_API_READ_ONLY", default=""), unsaid=None if PRODUCTION else False
)
# The number of days for which the hub keeps each kind of data about customers. Without an entry, or with 0, the hub
# keeps the data for ever. A production hub must have an entry for each kind.
RETENTION_DAYS = periods(env.dict("RETENTION_DAYS", default={}), of=RETENTION_KINDS)
# The time zone in which the days, weeks and months of the history of payments begin. After a change, run
# `manage.py rebuild_history`.
HISTORY_TIME_ZONE = one(env.str("HISTORY_TIME_ZONE", default="UTC"), of=available_timezones())
# The request header in which the TLS proxy forwards the client's certificate.
CERTIFICATE_HEADER = env.str("CERTIFICATE_HEADER", default="X-SSL-Client-Cert")
# The secret by which the TLS proxy proves its identity when it forwards a certificate.
PROXY_SECRET = env.str("PROXY_SECRET", default="")
# The PEM file with the RSA key by which the hub signs its own messages. Without this setting, these messages have no
# signatures.
HUB_SIGNING_KEY_FILE = env.str("HUB_SIGNING_KEY_FILE", default="")
# The PEM files with the certificate and the key of the authority that signs DFSPs' client certificates (`manage.py
# authority create`). Only the operators' process needs these files. CLIENT_CERTIFICATE_DAYS is the lifetime of a DFSP's
# certificate.
HUB_CA_CERTIFICATE_FILE = env.str("HUB_CA_CERTIFICATE_FILE", default="")
HUB_CA_KEY_FILE = env.str("HUB_CA_KEY_FILE", default="")
CLIENT_CERTIFICATE_DAYS = env.int("CLIENT_CERTIFICATE_DAYS", default=365)
# The time, in seconds, for which an agreed conversion waits for its transfer after the conversion has expired.
FX_TRANSFER_WAIT_S = env.int("FX_TRANSFER_WAIT_S", default=300)
# The longest time for which a transfer can stay reserved, in seconds.
TRANSFER_MAX_VALIDITY_S = env.int("TRANSFER_MAX_VALIDITY_S", default=7 * 24 * 3600)
# Whether callbacks about bulk transfers come from the hub itself, as in the reference hub. Otherwise the hub forwards
# the DFSPs' messages, if these messages are correct.
BULK_IN_HUB_NAME = env.bool("BULK_IN_HUB_NAME", default=False)
# Whether the hub compares each transfer with its ILP packet, and both with the terms in the answer to the quote. In the
# API, only the payee DFSP must make these comparisons.
CHECK_ILP_PACKETS = env.bool("CHECK_ILP_PACKETS", default=False)
# The extension with this key contains the payer's KYC tier. The scheme's rules can use this tier.
RULES_KYC_TIER_EXTENSION = env.str("RULES_KYC_TIER_EXTENSION", default="kycTier")
# The secret key with which the hub computes the hash of each party in profiles (`rules.party_keys`). With a new key,
# all profiles begin at zero.
RULES_PARTY_KEY = env.str("RULES_PARTY_KEY", default="development-only-party-key-that-production-refuses")
# Whether profiles count payments even while no rule is active. If so, new rules can use the counts of earlier payments.
RULES_COUNT = env.bool("RULES_COUNT", default=False)
# The limits on a DFSP's requests for signals about payees: the largest number per minute, and the largest number in one
# burst after a pause.
SIGNALS_PER_MINUTE = env.int("SIGNALS_PER_MINUTE", default=600)
SIGNALS_AT_ONCE = env.int("SIGNALS_AT_ONCE", default=3000)
# The largest number of fraud markers and appeals that a DFSP can submit in a day.
MARKERS_PER_DAY = env.int("MARKERS_PER_DAY", default=500)
# The e-mail addresses and URLs that receive a notification of new fraud alerts, in addition to NOTIFICATION_WEBHOOKS.
ALERT_RECIPIENTS = env.list("ALERT_RECIPIENTS", default=[])
# ALARM_RECIPIENTS are the e-mail addresses and URLs that receive new alarms, in addition to NOTIFICATION_WEBHOOKS. An
# alarm ends when its cause has been absent for ALARM_CALM_S seconds. A change request that waits for approval causes an
# alarm after ALARM_APPROVAL_S seconds. A settlement window causes an alarm if it is open for longer than ALARM_WINDOW_S
# seconds. A closed window causes an alarm if it is not settled within ALARM_WINDOW_S seconds. If ALARM_WINDOW_S is 0,
# windows cause no alarm.
ALARM_RECIPIENTS = env.list("ALARM_RECIPIENTS", default=[])
ALARM_CALM_S = env.int("ALARM_CALM_S", default=60)
ALARM_APPROVAL_S = env.int("ALARM_APPROVAL_S", default=4 * 3600)
ALARM_WINDOW_S = env.int("ALARM_WINDOW_S", default=26 * 3600)
# Whether the hub refuses messages with amounts that have more decimals than their currency.
MINOR_UNITS_ONLY = env.bool("MINOR_UNITS_ONLY", default=True)
# The largest allowed differences between a completedTimestamp and the hub's clock: how far the timestamp can be in the
# future, and how far in the past.
COMPLETED_AHEAD_MS = env.int("COMPLETED_AHEAD_MS", default=200)
COMPLETED_AGE_S = env.int("COMPLETED_AGE_S", default=300)
# The PartyIdTypes for which the hub's own oracle answers.
BUILTIN_ORACLE_TYPES = env.list(
    "BUILTIN_ORACLE_TYPES", default=["MSISDN", "EMAIL", "PERSONAL_ID", "BUSINESS", "DEVICE", "IBAN", "ALIAS"]
)
# ORACLE_TIMEOUT_S is the time limit for a request to an external oracle, and ORACLE_BATCH_TIMEOUT_S for a request with
# many aliases. ORACLE_CONCURRENCY limits the simultaneous requests of a web process to one oracle. A DFSP's first
# request does not count against this limit, and one DFSP can use at most half of this limit. The hub caches answers of
# oracles for ORACLE_CACHE_S seconds (0: not at all).
ORACLE_TIMEOUT_S = env.float("ORACLE_TIMEOUT_S", default=2.0)
ORACLE_BATCH_TIMEOUT_S = env.float("ORACLE_BATCH_TIMEOUT_S", default=10.0)
ORACLE_CONCURRENCY = env.int("ORACLE_CONCURRENCY", default=8)
ORACLE_CACHE_S = env.int("ORACLE_CACHE_S", default=30)
# If a DFSP does not answer GET /parties within this time, the requester gets 2004. The delivery of the request is a
# part of this time, so the time must be longer than the longest delivery. After a request has ended, the hub still
# accepts late or repeated answers to this request for this time.
PARTY_ANSWER_S = env.int("PARTY_ANSWER_S", default=25)
# The time limit for the answer to a request for terms (a quote, a bulk quote or an FX quote), if the request has no
# expiration.
QUOTE_ANSWER_S = env.int("QUOTE_ANSWER_S", default=60)
# The time limit for a DFSP's answer to GET /authorizations, /transactions and /transactionRequests. This time is long,
# because the DFSP sometimes waits for its customer.
CUSTOMER_ANSWER_S = env.int("CUSTOMER_ANSWER_S", default=300)
# One DFSP's limits in a web process: DFSP_RATE limits the requests per second, and the requests in one burst.
# DFSP_OPEN_REQUESTS limits the open requests. Further requests of the DFSP get 429. DFSP_OPEN_REQUESTS must be below
# half of WEB_QUEUE, so that no DFSP can fill the part of the queue that lookups can use. 0 means no limit.
DFSP_RATE = env.float("DFSP_RATE", default=0.0)
DFSP_OPEN_REQUESTS = env.int("DFSP_OPEN_REQUESTS", default=96)
# DFSP_STATE_RATE limits the requests per second that only read a state, such as GET /transfers/{ID}. If a request
# exceeds a rate, the hub waits for DFSP_PAUSE_MS milliseconds before it refuses the request.
DFSP_STATE_RATE = env.float("DFSP_STATE_RATE", default=10.0)
DFSP_PAUSE_MS = env.int("DFSP_PAUSE_MS", default=500)
# How many bulks a web process handles at the same time: DFSP_OPEN_BULKS of one DFSP, and WEB_BULKS of all DFSPs
# together. Bulks are /bulkTransfers, /bulkQuotes and requests with many aliases.
DFSP_OPEN_BULKS = env.int("DFSP_OPEN_BULKS", default=4)
# The part of a web process's time that is allowed for the bulks of one DFSP. 0 means no limit.
DFSP_BULK_SHARE = env.float("DFSP_BULK_SHARE", default=0.2)
# The bytes in large faulty bodies (more than 16 KiB) that a web process accepts from one DFSP in a second. After more
# bytes, large bodies of the DFSP get 429 for a while. 0 means no limit.
DFSP_FAULTY_BYTES = env.int("DFSP_FAULTY_BYTES", default=131_072)
WEB_BULKS = env.int("WEB_BULKS", default=16)
# The size limits for bodies, in bytes: for a usual message, for a bulk message, and for the administration, settlement
# and oracle APIs. FSPIOP API v1.1, table 1, allows the size of a bulk message for every message. For each 32 bytes of
# its size limit, a body can contain one JSON value.
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=65_536)
MAX_BULK_BODY_BYTES = env.int("MAX_BULK_BODY_BYTES", default=5_242_880)
MAX_ADMINISTRATION_BODY_BYTES = env.int("MAX_ADMINISTRATION_BODY_BYTES", default=1_048_576)
# The seconds within which a request's body must arrive. This time must exceed REQUEST_DEADLINE_S, because the hub
# detects a slow body by the missing response.
BODY_DEADLINE_S = env.int("BODY_DEADLINE_S", default=20)

# Whether the hub connects only to public addresses. The networks (or address:port) that are allowed in addition.
CALLBACK_PUBLIC_ONLY = env.bool("CALLBACK_PUBLIC_ONLY", default=PRODUCTION)
CALLBACK_ALLOW = env.list("CALLBACK_ALLOW", default=[])
# PEM files for the requests that the hub sends: the trusted authorities, and the hub's client certificate and key.
# Without CALLBACK_CA_FILE, the hub trusts the authorities of the operating system.
CALLBACK_CA_FILE = env.str("CALLBACK_CA_FILE", default="")
CALLBACK_CLIENT_CERT_FILE = env.str("CALLBACK_CLIENT_CERT_FILE", default="")
CALLBACK_CLIENT_KEY_FILE = env.str("CALLBACK_CLIENT_KEY_FILE", default="")

# --- e-mail and webhooks --------------------------------------------------------------------------------------------
# The mail server: either EMAIL_URL, such as smtp+tls://user:password@host:587, or Django's settings such as EMAIL_HOST.
# "none" means that this hub sends no e-mail.
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
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)  # seconds, for each response of the mail server
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="kitovu@localhost")
# Whether this hub sends e-mail. If not, one person hands over the link of an invitation, and another person hands over
# the code.
SENDS_EMAIL = bool(_EMAIL or EMAIL_HOST)
# The address at which people open the portal. Links in e-mails begin with this address.
PORTAL_URL = env.str("PORTAL_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}")
# URLs that receive notifications for operators. The hub signs each request with a key that it derives from
# WEBHOOK_SECRET.
NOTIFICATION_WEBHOOKS = env.list("NOTIFICATION_WEBHOOKS", default=[])
WEBHOOK_SECRET = env.str("WEBHOOK_SECRET", default="")
WEBHOOK_TIMEOUT_S = env.int("WEBHOOK_TIMEOUT_S", default=5)
# the time after which the hub stops trying to send an e-mail or webhook
NOTIFICATION_EXPIRES_S = env.int("NOTIFICATION_EXPIRES_S", default=24 * 3600)

# --- certification of DFSPs (`portal.certification`) ----------------------------------------------------------------
# Whether a new participant must pass the certification before it can go live.
CERTIFICATION_REQUIRED = env.bool("CERTIFICATION_REQUIRED", default=False)
# The name of the certifier, the participant that tests DFSPs. No real participant can have this name.
CERTIFIER_NAME = env.str("CERTIFIER_NAME", default="certifier")
# The certifier sends requests to the hub's FSPIOP API at CERTIFIER_HUB_URL. It listens for callbacks at
# CERTIFIER_LISTEN (host:port; port 0 means any free port). Workers send these callbacks to CERTIFIER_URL, or without
# this setting to http://host:port.
CERTIFIER_HUB_URL = env.str("CERTIFIER_HUB_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}")
CERTIFIER_LISTEN = env.str("CERTIFIER_LISTEN", default="127.0.0.1:0")
CERTIFIER_URL = env.str("CERTIFIER_URL", default="")
# PEM files of the certifier: its client certificate and key for the hub's FSPIOP API, and its signing key. Without a
# file for the signing key, the certifier makes a new signing key for each run.
CERTIFIER_CLIENT_CERT_FILE = env.str("CERTIFIER_CLIENT_CERT_FILE", default="")
CERTIFIER_CLIENT_KEY_FILE = env.str("CERTIFIER_CLIENT_KEY_FILE", default="")
CERTIFIER_SIGNING_KEY_FILE = env.str("CERTIFIER_SIGNING_KEY_FILE", default="")

# --- the ledger's engine --------------------------------------------------------------------------------------------
LEDGER_BATCH = env.int("LEDGER_BATCH", default=200)  # how many commands one database transaction can contain
# how many bytes the messages of these commands can have together
LEDGER_BATCH_BYTES = env.int("LEDGER_BATCH_BYTES", default=1_048_576)
# The pause between two database transactions of a busy process, in milliseconds. More commands arrive during the pause,
# so there are fewer transactions.
LEDGER_PACE_MS = env.int("LEDGER_PACE_MS", default=40)
# The same pause for lookups and quotes. This pause is shorter, because each payment needs four such messages before its
# transfer.
AGREEMENT_PACE_MS = env.int("AGREEMENT_PACE_MS", default=20)
# If a process already has this number of open requests of DFSPs, further requests get 503. Lookups, requests for terms
# and other new work have lower limits (`hub.api.load_shedding`). The number must be smaller than the number of threads.
# Otherwise all threads could wait, and no thread could respond with 503.
WEB_QUEUE = env.int("WEB_QUEUE", default=256)
# How many requests to the portal, the administration APIs and the documents a process handles at the same time. A
# process that also serves DFSPs uses at most half of DATABASE_POOL for these requests.
WEB_PAGES = env.int("WEB_PAGES", default=8 if "fspiop" in SERVES else 64)
REQUEST_DEADLINE_S = env.int("REQUEST_DEADLINE_S", default=15)
# If messages wait in the outbox for longer than this number of seconds, the hub responds with 503 to new lookups, new
# requests for terms and new transfers. 0 means that the hub never refuses these requests for this reason. The hub never
# refuses callbacks for this reason.
SHED_LOOKUPS_S = env.float("SHED_LOOKUPS_S", default=0.5)
SHED_QUOTES_S = env.float("SHED_QUOTES_S", default=1.0)
SHED_TRANSFERS_S = env.float("SHED_TRANSFERS_S", default=2.0)

# --- callbacks ------------------------------------------------------------------------------------------------------
OUTBOX_BATCH = env.int("OUTBOX_BATCH", default=100)  # how many messages one claim takes
# the largest number of open requests to each destination, in each worker process
OUTBOX_CONCURRENCY = env.int("OUTBOX_CONCURRENCY", default=40)
# How many of these open requests one participant can cause. The remaining requests are for other participants.
OUTBOX_CONCURRENCY_PER_SOURCE = env.int("OUTBOX_CONCURRENCY_PER_SOURCE", default=32)
# No new delivery begins while the bodies of the deliveries in progress are together larger than this size.
OUTBOX_OPEN_BYTES = env.int("OUTBOX_OPEN_BYTES", default=2 * 1024 * 1024)
# If this number of messages from one participant wait for one destination, the participant's next requests to this
# destination get 429.
OUTBOX_PENDING_PER_SOURCE = env.int("OUTBOX_PENDING_PER_SOURCE", default=5000)
OUTBOX_TIMEOUT_S = env.int("OUTBOX_TIMEOUT_S", default=5)  # the time limit of a whole delivery
OUTBOX_LEASE_S = env.int("OUTBOX_LEASE_S", default=10)
OUTBOX_GIVE_UP_S = env.int("OUTBOX_GIVE_UP_S", default=24 * 3600)
# If a request such as GET /parties or POST /quotes cannot be delivered within this time, the hub gives up and notifies
# the requester.
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
    "hub.api.dfsp_routing_middleware.DfspShortcut",
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
    "portal.middleware.Visit",
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
# causes no e-mails, because portal.sign_in writes these events to the audit trail instead
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_SESSION_REMEMBER = True  # the cookie is valid for the longest time that a session can last
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# hub.sign_in_attempts counts failures. If allauth counted failures too, an attacker could lock people out.
ACCOUNT_RATE_LIMITS = {"login_failed": None, "login": None}
MFA_ADAPTER = "portal.sign_in.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "portal.one_time_code_attempts.Code",
    "reauthenticate": "portal.one_time_code_attempts.CodeAgain",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an invitation by e-mail has verified the address
MFA_TOTP_ISSUER = f"Kitovu {HUB_NAME}"
# How many proxies of the scheme are in front of the hub. Each of them adds an address to X-Forwarded-For. A production
# hub does not start without this setting.
TRUSTED_PROXY_COUNT_IS_SAID = bool(env.str("TRUSTED_PROXY_COUNT", default=""))
TRUSTED_PROXY_COUNT = ALLAUTH_TRUSTED_PROXY_COUNT = (
    env.int("TRUSTED_PROXY_COUNT", default=0) if TRUSTED_PROXY_COUNT_IS_SAID else 0
)
# after this time, even an active person must sign in again
SESSION_COOKIE_AGE = env.int("SESSION_AGE_S", default=12 * 3600)
SESSION_IDLE_S = env.int("SESSION_IDLE_S", default=30 * 60)  # after this time without activity, a session ends
SESSION_COOKIE_NAME = "kitovu_session"
# If a settlement stays in one state for longer than this time, the portal shows it as late.
SETTLEMENT_LATE_S = env.int("SETTLEMENT_LATE_S", default=24 * 3600)
# Whether operators can disable a participant that has reserved amounts or owes money.
DISABLE_WHILE_OWING = env.bool("DISABLE_WHILE_OWING", default=True)
# How long a change request waits for another person's approval.
APPROVAL_EXPIRES_S = env.int("APPROVAL_EXPIRES_S", default=3 * 24 * 3600)
# From these amounts on, a change needs three people: one requests the change, and two approve it.
# TZS=50000000,KES=2000000.
THREE_PEOPLE_FROM = amounts(env.dict("THREE_PEOPLE_FROM", default={}))
# Whether people get an e-mail about change requests that they can approve.
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

# The time limit for an SQL statement in the hub's processes. A wait for a lock and an idle database transaction also
# have time limits of some seconds (docs/architecture.md).
DATABASE_STATEMENT_TIMEOUT_MS = _STATEMENT_TIMEOUT_MS = env.int("DATABASE_STATEMENT_TIMEOUT_MS", default=5000)
_POOL = env.int("DATABASE_POOL", default=0)
DATABASE_POOL_OPTIONS = {
    "min_size": 1,
    "max_size": _POOL,
    # seconds; after this time, hub.postgresql tries again, for DATABASE_POOL_PATIENCE_S seconds in total
    "timeout": 1,
    # After a failure of the database, the next request opens a new connection. With a longer `reconnect_timeout`, the
    # pool's pauses would grow to 8 s and more, and requests would get no connection during a pause.
    "reconnect_timeout": 1,
}
DATABASE_POOL_PATIENCE_S = 5
# Whether the threads that decide transfers prepare their SQL statements. Set this to false if a pooler assigns a
# different connection to each transaction and does not support prepared statements.
DATABASE_PREPARE = env.bool("DATABASE_PREPARE", default=True)
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres://hub@127.0.0.1:5432/hub")}
# Options after the question mark in DATABASE_URL, such as sslmode, replace the options here.
_TOLD = DATABASES["default"].get("OPTIONS", {})
DATABASES["default"] |= {
    "ENGINE": "hub.postgresql",
    "CONN_MAX_AGE": 0 if _POOL else None,
    "CONN_HEALTH_CHECKS": not _POOL,  # with a pool, hub.postgresql checks each connection
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
    # A cache in the memory of each process. The cached values expire after some seconds, and other processes cannot
    # read these values.
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français"), ("sw", "Kiswahili")]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["portal.formats"]
STATIC_URL = "/static/"
# The folder into which `collectstatic` copies static files for production. A development hub serves these files from
# their source folders.
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = not PRODUCTION
# The size limit for the fields of a form, without uploaded files, in bytes. The largest form contains the scheme's
# rules as JSON. `portal.middleware` limits the whole request, separately for each page.
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
# Keeps the database connection. Otherwise Celery would open a new connection for each tick. hub.celery checks whether
# the kept connection still works.
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
    # A lost tick does not matter, because the next tick does the same work. With this option, a worker would end with
    # an AttributeError in kombu if Redis failed during a tick.
    "ack_emulation": False,
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "health_check_interval": 5,
    "global_keyprefix": "celery:",
}
# The functions that run each second. A single Celery task calls all these functions, because a task costs more than a
# check for due work.
EACH_SECOND = [
    "ledger.tasks.expire_transfers",
    "ledger.tasks.release_held_transfers",
    "quotes.tasks.fail_unanswered",
    "directory.tasks.report_unanswered",
    "rules.profiles.tasks.fold",
    "rules.alerts.tasks.merge",
    "settlement.tasks.catch_up",
]
# After a change of a list, the screening of all names takes many minutes. So the screening is a Celery task of its own,
# and the functions above do not wait for it.
SCREENING = "rules.lists.tasks.screen_names"
CELERY_BEAT_SCHEDULE = {
    "each-second": {"task": "hub.tasks.each_second", "schedule": 1.0, "options": {"expires": 5}},
    "screen-names": {"task": SCREENING, "schedule": 2.0, "options": {"expires": 2}},
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
