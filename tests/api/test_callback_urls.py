"""What may be registered as a callback URL, and where a message then goes: the whole address or nowhere."""

from typing import Any

import pytest
from django import forms

from directory import oracles
from fspiop.errors import FspiopError
from hub.participants.endpoint_types_and_urls import BASE, BASE_TYPES, TEMPLATE_TYPES, is_fit, url_for
from hub.participants.models import Endpoint
from portal.fields import callback_url
from tests.api.caller import admin, error_of
from tests.world import World

TRANSFER = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
NO_URLS = [
    *("http://a.example/#", "http://a.example/#/x", "http://a.example#", "https://a.example/x#{{transferId}}"),
    *("http://a..example", "http://.example", "http://-\u2603-.\u2603\u2603" + "x" * 60 + ".example", "http://\u200b"),
    *("http://" + "a" * 64 + ".example", "http://" + "a." * 126 + "ab", "http://a%2fb.example", "http://a!b.example"),
    *(
        "http://xn--a.example",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://a.example:0",
        "http://a.example:99999",
    ),
    *("http://a.example/\u00e9", "http://a.example/%zz", "http://a.example/a\\b", "http://a.example/<x>"),
    *("http://a.example/x/..", "http://a.example/x/%2e%2E/y", "http://a.example/./x", "http://a.example/%2E"),
    *("ftp://a.example", "http://", "http:///x", "http://u@a.example", "//a.example", "http://a.example/a b", ""),
    *(" http://a.example/x", "http://a.example/x ", "\u3000http://a.example"),
]
NO_BASES = ["http://a.example?x=1", "http://a.example/?", "http://a.example/{{transferId}}", "http://a.example/{id}"]
BASES = [
    *("http://a.example", "https://a.example:8443/fspiop", "http://192.0.2.1/", "http://[2001:db8::1]:4000/x/"),
    *("http://a_b", "http://localhost:4040", "http://a.example./x", "https://b\u00fccher.example/x", "http://a/%7Ex"),
]
TEMPLATES = [
    ("FSPIOP_CALLBACK_URL_TRANSFER_PUT", "http://a.example/transfers/{{transferId}}"),
    ("FSPIOP_CALLBACK_URL_BULK_TRANSFER_PUT", "http://a.example/bulkTransfers/{{id}}"),
    (
        "FSPIOP_CALLBACK_URL_PARTIES_SUB_ID_GET",
        "http://a/{{partyIdType}}/{{partyIdentifier}}/{{ partySubIdOrType }}",
    ),
    ("FSPIOP_CALLBACK_URL_PARTICIPANT_BATCH_PUT", "http://a.example/participants/{{requestId}}"),
    ("TP_CB_URL_CONSENT_GET", "http://a.example/consents/{{ID}}"),
    ("FSPIOP_CALLBACK_URL_TRANSFER_POST", "http://a.example/transfers?x=1"),
]


def test_a_base_is_an_address_and_nothing_behind_it() -> None:
    for base_type in (BASE, *BASE_TYPES):
        for text in NO_URLS + NO_BASES:
            assert not is_fit(base_type, text), text
        for text in BASES:
            assert is_fit(base_type, text), text


def test_a_template_keeps_its_known_names_and_nothing_else_in_braces() -> None:
    for template_type, text in TEMPLATES:
        assert is_fit(template_type, text), text
    for template_type in sorted(TEMPLATE_TYPES):
        for text in [*NO_URLS, "http://a/{{x}", "http://a/{x}", "http://a/{{}}", "http://{{id}}/x", "http://a/{{no}}"]:
            assert not is_fit(template_type, text), text
        assert all(is_fit(template_type, text) for text in BASES)


def test_what_was_registered_before_and_would_lose_the_path_is_called_nowhere() -> None:
    for text in ("http://a.example/#", "http://a.example/x?y=1", "http://a.example/{{id}}", "http://a..example"):
        assert url_for({BASE: text}, "PUT", TRANSFER) is None, text
        assert url_for({"FSPIOP_CALLBACK_URL_QUOTES": text}, "PUT", "/quotes/x") is None, text
    fragment = {"FSPIOP_CALLBACK_URL_TRANSFER_PUT": "http://a.example/#{{transferId}}"}
    assert url_for(fragment, "PUT", TRANSFER) is None
    assert url_for({BASE: "https://b\u00fccher.example:8443/x/"}, "PUT", TRANSFER) == (
        f"https://xn--bcher-kva.example:8443/x{TRANSFER}"
    )
    assert url_for({BASE: "http://[2001:db8::1]:80/x"}, "PUT", TRANSFER) == f"http://[2001:db8::1]:80/x{TRANSFER}"


def test_api_portal_and_oracles_refuse_them_alike(world: World) -> None:
    kept = Endpoint.objects.count()
    for text in [text for text in NO_URLS if text] + NO_BASES:
        body = {"type": BASE, "value": text}
        assert error_of(admin("POST", "/participants/green/endpoints", body)) == (400, "3100"), text
        with pytest.raises(forms.ValidationError):
            callback_url(text)
        with pytest.raises(FspiopError):
            oracles.check_endpoint(text)
    assert Endpoint.objects.count() == kept
    assert admin("POST", "/participants/green/endpoints", {"type": BASE, "value": BASES[0]}).status_code == 201


def test_a_port_that_no_web_server_has_is_refused_before_its_host_is_known(world: World, settings: Any) -> None:
    settings.CALLBACK_PUBLIC_ONLY, settings.CALLBACK_ALLOW = True, []
    kept = Endpoint.objects.count()
    for text in ("http://not-yet-there.example:1/", "http://192.0.0.8/", "http://127.0.0.1:8080"):
        assert error_of(admin("POST", "/participants/green/endpoints", {"type": BASE, "value": text})) == (400, "3100")
        with pytest.raises(forms.ValidationError):  # whoever asks in the portal learns it, and not who approves
            callback_url(text)
    assert Endpoint.objects.count() == kept
    callback_url("http://not-yet-there.example:8443/")
    settings.CALLBACK_ALLOW = ["10.0.0.0/8"]
    callback_url("http://not-yet-there.example:1/")
