"""Production refuses to start on what is only fit for development; development runs with nothing set."""

import atexit
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FIT = {
    "PRODUCTION": "true",
    "SECRET_KEY": "k" * 20 + "0123456789" * 4,
    "RULES_PARTY_KEY": "r" * 32,
    "ALLOWED_HOSTS": "hub.example",
    "PARTICIPANT_AUTH": "certificate,token",
    "SIGNATURES": "required",
    "PROXY_SECRET": "p" * 32,
    "ADMINISTRATION_AUTH": "oauth2",
    "ADMINISTRATION_API_READ_ONLY": "false",
    "TWO_PEOPLE": "everywhere",
    "HUB_SIGNING_KEY_FILE": "hub.pem",
    "EMAIL_URL": "none",
    "TRUSTED_PROXY_COUNT": "1",
    "RETENTION_DAYS": "bodies=400,quotes=400,lookups=30,deliveries=30,sessions=30,facts=400,decisions=400,hits=0,"
    "signals=400",
}
SENDS = {
    "EMAIL_URL": "smtp+tls://hub:word@mail.example:587",
    "DEFAULT_FROM_EMAIL": "hub@hub.example",
    "PORTAL_URL": "https://hub.example",
}


# Each start is a process of its own, forked from one that has imported the libraries and nothing that reads a setting.
_STARTER = """
import json, os, sys
import celery, cryptography.x509, django.db, msgspec, orjson, psycopg, pycurl, redis, rest_framework, structlog

for line in sys.stdin:
    out, into = os.pipe()
    if not (child := os.fork()):
        os.dup2(into, 2)
        os.environ.clear()
        os.environ.update(json.loads(line), DJANGO_SETTINGS_MODULE="hub.settings")
        if os.environ.pop("WEB"):
            import hub.wsgi
        else:
            from hub.production_checks import refuse_if_faulty
            refuse_if_faulty()
        os._exit(0)
    os.close(into)
    with os.fdopen(out, errors="replace") as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps(text if status else ""), flush=True)
"""


_KEPT = {name: os.environ[name] for name in ("PATH", "DATABASE_URL", "REDIS_URL") if name in os.environ}


@functools.cache
def _starter() -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _STARTER]
    process = subprocess.Popen(
        command, cwd=PROJECT, env=_KEPT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.kill)
    return process


def start(environment: dict[str, str], *, web: bool = False) -> str:
    """Returns what a process that starts with this environment writes if it does not start; empty if it starts.

    Without `web`, the process loads the settings and checks them as each process of the hub does, but not the hub's
    other modules, which take seconds. With `web`, it is a whole web process.
    """
    starter = _starter()
    assert starter.stdin is not None
    assert starter.stdout is not None
    print(json.dumps(_KEPT | environment | {"WEB": "yes" if web else ""}), file=starter.stdin, flush=True)
    said: str = json.loads(starter.stdout.readline())
    return said


@pytest.mark.parametrize("web", [False, True])
def test_development_starts_with_nothing_set(web: bool) -> None:
    assert start({}, web=web) == ""


@pytest.mark.parametrize("web", [False, True])
def test_production_starts_with_everything_set(web: bool) -> None:
    assert start(FIT, web=web) == ""


def test_a_web_process_is_refused_too() -> None:
    assert "This hub does not start" in start(FIT | {"DEBUG": "true"}, web=True)
    assert "ImproperlyConfigured" in start({"TWO_PEOPLE": "nowhere"}, web=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "development-only-secret-key-that-production-refuses"),
        ("SECRET_KEY", "short"),
        ("RULES_PARTY_KEY", ""),
        ("RULES_PARTY_KEY", "r" * 31),
        ("DEBUG", "true"),
        ("ALLOWED_HOSTS", "*"),
        ("PARTICIPANT_AUTH", "none"),
        ("SIGNATURES", "checked"),
        ("TOKEN_LIFETIME_S", "86400"),
        ("MAX_BODY_BYTES", "5242880"),
        ("BODY_DEADLINE_S", "15"),
        ("PROXY_SECRET", ""),
        ("CALLBACK_PUBLIC_ONLY", "false"),
        ("CALLBACK_ALLOW", "10.0.0.1:https"),
        ("ADMINISTRATION_AUTH", "none"),
        ("ADMINISTRATION_AUTH", "staff"),
        ("ADMINISTRATION_AUTH", ""),
        ("ADMINISTRATION_API_READ_ONLY", ""),
        ("TWO_PEOPLE", ""),
        ("TWO_PEOPLE", "unsaid"),
        ("HUB_SIGNING_KEY_FILE", ""),
        ("TRUSTED_PROXY_COUNT", ""),
        ("METRICS_TOKEN", "short"),
        ("RETENTION_DAYS", ""),
        ("RETENTION_DAYS", "bodies=400,quotes=400,lookups=30,deliveries=30,sessions=30"),
    ],
)
def test_production_refuses_what_is_fit_for_development_only(name: str, value: str) -> None:
    said = start(FIT | {name: value})
    assert "This hub does not start" in said
    assert name in said


@pytest.mark.parametrize(
    "email",
    [
        SENDS,
        {**SENDS, "EMAIL_URL": "", "EMAIL_HOST": "mail.example", "EMAIL_USE_SSL": "true"},
        {**SENDS, "EMAIL_URL": "smtp://127.0.0.1:25"},  # a relay on this machine
        {**SENDS, "NOTIFICATION_WEBHOOKS": "https://alarms.example/hub", "WEBHOOK_SECRET": "w" * 32},
    ],
)
def test_production_starts_with_email_that_is_fit_for_it(email: dict[str, str]) -> None:
    assert start(FIT | email) == ""


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("EMAIL_URL is not set", {"EMAIL_URL": ""}),
        ("EMAIL_URL names no mail server", {**SENDS, "EMAIL_URL": "consolemail://"}),
        ("EMAIL_URL names no mail server", {**SENDS, "EMAIL_URL": "dummymail://"}),
        ("sends without TLS", {**SENDS, "EMAIL_URL": "smtp://mail.example:25"}),
        ("sends without TLS", {**SENDS, "EMAIL_URL": "", "EMAIL_HOST": "mail.example"}),
        ("DEFAULT_FROM_EMAIL is not set", {**SENDS, "DEFAULT_FROM_EMAIL": "kitovu@localhost"}),
        ("PORTAL_URL", {**SENDS, "PORTAL_URL": "http://hub.example"}),
        ("WEBHOOK_SECRET", {"NOTIFICATION_WEBHOOKS": "https://alarms.example/hub"}),
        ("NOTIFICATION_WEBHOOKS", {"NOTIFICATION_WEBHOOKS": "http://alarms.example", "WEBHOOK_SECRET": "w" * 32}),
    ],
)
def test_production_refuses_email_and_webhooks_that_are_not_fit_for_it(name: str, email: dict[str, str]) -> None:
    said = start(FIT | email)
    assert "This hub does not start" in said
    assert name in said


@pytest.mark.parametrize("name", ["ADMINISTRATION_AUTH", "ADMINISTRATION_API_READ_ONLY", "TWO_PEOPLE"])
def test_production_is_told_who_administrates_it_and_how(name: str) -> None:
    said = start({setting: value for setting, value in FIT.items() if setting != name})
    assert "This hub does not start" in said
    assert name in said


@pytest.mark.parametrize(
    "chosen",
    [{"TWO_PEOPLE": "portal"}, {"ADMINISTRATION_API_READ_ONLY": "true"}, {"ADMINISTRATION_API_READ_ONLY": "0"}],
)
def test_production_may_choose_either(chosen: dict[str, str]) -> None:
    assert start(FIT | chosen) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("ADMINISTRATION_AUTH", "stafff"), ("ADMINISTRATION_API_READ_ONLY", "ture"), ("TWO_PEOPLE", "nowhere")],
)
@pytest.mark.parametrize("production", [True, False])
def test_a_misspelt_word_starts_nothing(name: str, value: str, production: bool) -> None:
    said = start((FIT if production else {}) | {name: value})
    assert "ImproperlyConfigured" in said
    assert value in said


def test_what_the_database_url_says_to_libpq_reaches_it() -> None:
    url = "postgres://hub@a:5433,b:5434/hub?target_session_attrs=read-write&sslmode=require&options=-c%20work_mem=8MB"
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, django; django.setup(); from django.db import connection;"
            " print(json.dumps(connection.get_connection_params(), default=str))",
        ],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "hub.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(shown.stdout)
    assert (told["host"], told["port"]) == ("a,b", "5433,5434")
    assert (told["target_session_attrs"], told["sslmode"]) == ("read-write", "require")
    assert told["options"].startswith("-c statement_timeout=5000 ")  # ours are kept
    assert told["options"].endswith(" -c work_mem=8MB")
    assert told["connect_timeout"] == 3
