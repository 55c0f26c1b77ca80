"""A32: a production that was set up wrongly does not start; one that runs says nothing of how it is made."""

import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.urls import path

from tests.hub.test_settings import FIT, PROJECT, start
from tests.world import World


def _breaks(_request: object) -> None:
    raise RuntimeError("a secret of the inside")


urlpatterns = [path("portal/breaks/", _breaks), path("breaks/", _breaks)]
handler500 = "portal.views.errors.server_error"


def test_a32_django_finds_nothing_wrong_with_production() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin"} | FIT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("value", ["", "development-only-secret-key-that-production-refuses", "a" * 50])
def test_a32_a_secret_that_is_none_does_not_start(value: str) -> None:
    assert "SECRET_KEY" in start(FIT | {"SECRET_KEY": value})


def test_a32_production_says_https_for_a_year_and_binds_its_cookies_to_it() -> None:
    names = (
        "SECURE_HSTS_SECONDS",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SESSION_COOKIE_HTTPONLY",
        "SESSION_COOKIE_SAMESITE",
        "DEBUG",
    )
    code = f"from django.conf import settings\nprint([getattr(settings, name) for name in {names!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "hub.settings"} | FIT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    hsts, *rest = eval(done.stdout)
    assert hsts >= 31_536_000
    assert rest[:3] == [True, True, True]
    assert rest[3] in ("Lax", "Strict")
    assert rest[4] is False


def test_a32_debugging_is_off_unless_asked_for() -> None:
    assert settings.DEBUG is False


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("url", ["/portal/breaks/", "/breaks/"])
def test_a32_an_error_page_tells_nothing_of_the_inside(world: World, url: str) -> None:
    client = Client(raise_request_exception=False)
    answer = client.get(url)
    assert answer.status_code == 500
    text = answer.content.decode()
    for inside in ("Traceback", "a secret of the inside", "RuntimeError", "settings", ".py"):
        assert inside not in text


@override_settings(ALLOWED_HOSTS=["hub.example"])
def test_a32_another_host_is_not_served(world: World) -> None:
    for url in ("/portal/sign-in/", "/admin/", "/docs/"):
        assert Client(headers={"host": "evil.example"}).get(url).status_code == 400


@pytest.mark.parametrize("url", ["/admin/", "/admin/ledger/account/"])
def test_a32_the_admin_is_closed_to_who_has_not_signed_in(world: World, url: str) -> None:
    answer = Client().get(url, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/portal/sign-in/")
