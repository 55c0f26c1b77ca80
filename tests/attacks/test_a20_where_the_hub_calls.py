"""A20: a callback's address is no way into the hub's own network, at registration nor when the socket is made."""

import socket
from typing import Any

import pytest
from django.test import override_settings

from fspiop.errors import FspiopError
from hub import egress
from hub.outbox import store
from hub.outbox.courier import Courier
from hub.outbox.models import Delivery, Message
from hub.participants import services as participants
from hub.participants.models import Endpoint, Participant
from tests.outbox.test_courier import Sink, message, send_to, wait_until
from tests.world import World

GUARDED = {"CALLBACK_PUBLIC_ONLY": True, "CALLBACK_ALLOW": []}
INSIDE = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8000/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://localhost:5432/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fd00::1]/",
    "http://[ff02::1]/",
    "http://8.8.8.8:22/",
    "http://8.8.8.8:25/",
]
NO_URLS = [
    "file:///etc/passwd",
    "gopher://8.8.8.8/",
    "ftp://8.8.8.8/",
    "http://green@8.8.8.8/",
    "http://green:x@8.8.8.8/",
    "http://8.8.8.8:99999/",
    "http://{{partyIdentifier}}.example/",
    "http://8.8.8.8:{{x}}/",
    "http://8.8.8.8/a b",
    "http://8.8.8.8/\r\nX: y",
    "http:///x",
    "//8.8.8.8/",
    "8.8.8.8",
    "",
]


# Special by the registries of IANA, or with another address inside; Python's own lists differ between its versions.
SPECIAL = [
    *("0.1.2.3", "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "240.0.0.1", "233.252.0.1", "::8.8.8.8", "64:ff9b::a00:1", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:1::1", "2001:20::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1", "fc00::1"),
    *("::ffff:192.0.0.8", "::ffff:0:a00:1", "2002:a00:1::1"),
]


@override_settings(**GUARDED)
def test_a20_an_address_for_a_special_purpose_is_not_connected_to() -> None:
    for address in SPECIAL:
        assert not egress.may_connect(address, 443), address
    for address in ("8.8.8.8", "192.0.1.1", "192.88.98.1", "::ffff:8.8.8.8", "2001:4860:4860::8888", "2a00:1450::1"):
        assert egress.may_connect(address, 443), address


def register(value: str) -> None:
    participants.set_endpoint(
        Participant.objects.get(name="green"), endpoint_type="FSPIOP_CALLBACK_URL", value=value, actor="test"
    )


@override_settings(**GUARDED)
@pytest.mark.parametrize("url", INSIDE)
def test_a20_an_address_inside_is_refused_at_registration(world: World, url: str) -> None:
    with pytest.raises(FspiopError) as refused:
        register(url)
    assert refused.value.code == "3100"
    assert Endpoint.objects.get(participant__name="green").value == "http://green.example"


@pytest.mark.parametrize("url", NO_URLS)
def test_a20_what_is_no_plain_web_address_is_refused_everywhere(world: World, url: str) -> None:
    with pytest.raises(FspiopError):
        register(url)


@override_settings(CALLBACK_PUBLIC_ONLY=True, CALLBACK_ALLOW=["10.1.0.0/16", "10.2.0.1:8443", "[fd00::7]:8443"])
def test_a20_what_the_scheme_lists_may_be_called_and_nothing_beside_it(world: World) -> None:
    for url in ("https://10.1.2.3/", "http://10.1.2.3:25/", "https://10.2.0.1:8443/x", "https://[fd00::7]:8443/"):
        register(url)
    for url in ("https://10.2.0.1/", "https://10.2.0.2:8443/", "https://[fd00::7]/", "https://[fd00::8]:8443/"):
        with pytest.raises(FspiopError):
            register(url)
    for url in ("https://8.8.8.8/", "http://8.8.8.8:80/", "https://8.8.8.8:4000/", "https://[2001:4860:4860::8888]/"):
        register(url)


def test_a20_development_calls_anything(world: World) -> None:
    register("http://127.0.0.1:4000")


@pytest.fixture
def courier(committed_world: World) -> Any:
    with override_settings(OUTBOX_TIMEOUT_S=2, OUTBOX_LEASE_S=3):
        started = Courier()
        started.start()
        yield started
        started.stop(timeout_s=8)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_a20_no_socket_is_opened_to_an_address_inside(courier: Courier, host: str) -> None:
    sink = Sink()
    url = sink.url.replace("127.0.0.1", host)
    green = send_to("green", url)  # registered when it was still allowed
    with override_settings(**GUARDED):
        store.append([message(green, "/transfers/T")])
        wait_until(lambda: Message.objects.exclude(last_error="").exists())
    assert sink.got == []
    assert not Delivery.objects.exists()


def test_a20_a_name_that_means_something_else_the_second_time_gains_nothing(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink()
    port = int(sink.url.rpartition(":")[2])
    outside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]
    real = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **kwargs: Any) -> Any:
        return outside if host == "localhost" else real(host, *args, **kwargs)

    with override_settings(**GUARDED):
        with monkeypatch.context() as at_registration:
            at_registration.setattr(socket, "getaddrinfo", rebinding)
            register(f"http://localhost:{port}")  # means 127.0.0.1 or ::1 when the courier asks
        store.append([message(Participant.objects.get(name="green"), "/transfers/T")])
        wait_until(lambda: Message.objects.filter(last_error__contains="does not connect to").exists())
    assert sink.got == []


def test_a20_a_name_in_the_path_can_not_end_it() -> None:
    from hub.api.forwarding import path_of
    from hub.participants.endpoint_types_and_urls import url_for

    path = path_of("parties", "ALIAS", "a/../../x?y=1#z\r\nHost: evil")
    template = {"FSPIOP_CALLBACK_URL_PARTIES_GET": "http://green.example/p/{{partyIdType}}/{{partyIdentifier}}"}
    url = url_for(template, "GET", path)
    assert url == "http://green.example/p/ALIAS/a%2F..%2F..%2Fx%3Fy%3D1%23z%0D%0AHost:%20evil"


def test_a20_the_guard_is_what_refuses(courier: Courier) -> None:
    """Without it the same message arrives: the tests above can fail."""
    sink = Sink()
    store.append([message(send_to("green", sink.url), "/transfers/T")])
    wait_until(lambda: sink.got != [])
    assert egress.may_connect("127.0.0.1", 1)
