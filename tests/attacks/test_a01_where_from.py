"""A01: a participant that says from where it calls is heard from there and from nowhere else."""

import pytest
from django.test import override_settings

from fspiop.errors import FspiopError
from hub.audit.models import Entry
from hub.participants import networks_and_contacts
from hub.participants.models import AllowedNetwork
from tests import proofs
from tests.api.caller import description_of, dfsp, error_of
from tests.proofs import by_proxy
from tests.world import World

PATH = "/parties/MSISDN/1"
CERTIFICATES = {name: proofs.Authority("scheme").issue(name) for name in ("green", "blue")}
FRONT = {**proofs.CERTIFICATE, "TRUSTED_PROXY_COUNT": 1}


def listed(name: str, *networks: str) -> None:
    networks_and_contacts.set_networks(proofs.participant(name), networks=networks, actor="test")


def call(handed_over: str | None, *, source: str = "green", secret: str = proofs.PROXY_SECRET) -> int:
    """A call whose certificate is in order, through a front that hands these addresses over."""
    headers: dict[str, str | None] = dict(by_proxy(CERTIFICATES[source], secret=secret))
    headers["X-Forwarded-For"] = handed_over
    return dfsp("GET", PATH, source=source, headers=headers).status_code


@pytest.fixture
def certificates(world: World) -> None:
    for name, certificate in CERTIFICATES.items():
        proofs.register_certificate(name, certificate)


@override_settings(**FRONT)
@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("192.0.2.0", 202),
        ("192.0.2.255", 202),
        ("::ffff:192.0.2.7", 202),
        ("2001:db8:1::9", 202),
        ("198.51.100.4", 202),
        ("192.0.3.0", 403),
        ("198.51.100.5", 403),
        ("2001:db8:2::9", 403),
        ("::192.0.2.7", 403),
        ("127.0.0.1", 403),
        ("192.0.2.7:443", 403),
        ("unknown", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_a01_who_has_a_list_is_heard_from_it_alone(address: str | None, status: int) -> None:
    listed("green", "192.0.2.0/24", "198.51.100.4", "2001:db8:1::/48")
    assert call(address) == status
    assert call(address, source="blue") == 202  # it has no list


@override_settings(**FRONT)
@pytest.mark.usefixtures("certificates")
def test_a01_only_what_our_own_front_wrote_counts() -> None:
    listed("green", "192.0.2.0/24")
    assert call("192.0.2.7, 203.0.113.9") == 403  # the client wrote the first itself
    assert call("203.0.113.9, 192.0.2.7") == 202
    with override_settings(TRUSTED_PROXY_COUNT=2):
        assert call("192.0.2.7, 10.0.0.1") == 202
        assert call("192.0.2.7") == 403
    with override_settings(TRUSTED_PROXY_COUNT=0):
        assert call("192.0.2.7") == 403  # the address of the connection itself: 127.0.0.1
        listed("green", "127.0.0.1")
        assert call("203.0.113.9") == 202


@override_settings(PARTICIPANT_AUTH=frozenset(), PROXY_SECRET=proofs.PROXY_SECRET, TRUSTED_PROXY_COUNT=1)
def test_a01_who_does_not_come_through_the_front_is_from_nowhere(world: World) -> None:
    listed("green", "192.0.2.0/24")
    assert call("192.0.2.7") == 202
    answer = dfsp("GET", PATH, headers={"X-Forwarded-For": "192.0.2.7"})
    assert error_of(answer) == (403, "3000")
    assert "not from this address" in description_of(answer)


@override_settings(**proofs.TOKEN, TRUSTED_PROXY_COUNT=1)
def test_a09_a_stolen_secret_gets_no_token_and_a_stolen_token_opens_nothing_elsewhere(world: World) -> None:
    client = proofs.register_client("green")
    listed("green", "192.0.2.0/24")
    here, elsewhere = (
        {"X-Forwarded-For": address, "X-Proxy-Secret": proofs.PROXY_SECRET} for address in ("192.0.2.7", "203.0.113.9")
    )
    assert proofs.ask_token(client.credential.label, client.secret, headers=elsewhere).status_code == 401
    bearer = proofs.bearer(proofs.token_of(client, headers=here))
    assert dfsp("GET", PATH, headers={**here, **bearer}).status_code == 202
    assert error_of(dfsp("GET", PATH, headers={**elsewhere, **bearer})) == (403, "3000")


@override_settings(**FRONT, CREDENTIALS_REFRESH_S=60)
@pytest.mark.usefixtures("certificates")
def test_from_where_is_asked_without_a_query(django_assert_num_queries: object) -> None:
    listed("green", *(f"192.0.2.{number}" for number in range(40)))
    headers: dict[str, str | None] = {**by_proxy(CERTIFICATES["green"]), "X-Forwarded-For": "192.0.2.7"}
    path = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
    body = {"transferState": "ABORTED", "completedTimestamp": "2026-01-01T00:00:00.000Z"}
    assert dfsp("PUT", path, body, destination="blue", headers=headers).status_code == 200
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert dfsp("PUT", path, body, destination="blue", headers=headers).status_code == 200


@override_settings(**FRONT)
@pytest.mark.usefixtures("certificates")
def test_a_list_is_changed_as_a_whole_emptied_and_recorded() -> None:
    listed("green", "192.0.2.0/24")
    listed("green", "198.51.100.4", "198.51.100.4/32")
    assert call("192.0.2.7") == 403
    listed("green")
    assert call("192.0.2.7") == 202
    changes = Entry.objects.filter(action="networks_set").order_by("id").values_list("before", "after")
    assert list(changes) == [
        ([], ["192.0.2.0/24"]),
        (["192.0.2.0/24"], ["198.51.100.4/32"]),
        (["198.51.100.4/32"], []),
    ]


@pytest.mark.parametrize(
    "text", ["192.0.2.1/24", "0.0.0.0/0", "::/0", "localhost", "1.2.3", "", "::ffff:192.0.2.0/120"]
)
def test_what_is_no_network_is_refused(world: World, text: str) -> None:
    with pytest.raises(FspiopError):
        listed("green", "192.0.2.0/24", text)
    assert networks_and_contacts.networks_of(proofs.participant("green")) == []


def test_a_list_has_an_end(world: World) -> None:
    with pytest.raises(FspiopError, match="at most 50"):
        listed("green", *(f"192.0.2.{number}" for number in range(51)))


@override_settings(**FRONT)
@pytest.mark.usefixtures("certificates")
def test_a01_a_network_that_cannot_be_read_shuts_out_its_own_participant_and_nobody_else() -> None:
    AllowedNetwork.objects.create(participant=proofs.participant("green"), network="no network")
    assert call("192.0.2.7") == 403
    assert call("192.0.2.7", source="blue") == 202
