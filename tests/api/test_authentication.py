"""Who calls: certificates, tokens and signatures that are right open the door, and end when they should."""

import base64
import json
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from fspiop.errors import FspiopError
from hub.api import tokens
from hub.audit.models import Entry
from hub.participants import credential_cache, credentials
from hub.participants.models import Credential
from tests import proofs
from tests.api.caller import description_of, dfsp, error_of
from tests.directory.requests import look_up
from tests.proofs import by_proxy, key_of
from tests.world import World

SCHEME = proofs.Authority("scheme")
PATH = "/parties/MSISDN/1"
TRANSFER = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
ABORTED = {"transferState": "ABORTED"}  # says nothing that a hub acts on: only the doorway is at work


@override_settings(**proofs.CERTIFICATE)
def test_any_of_a_participants_certificates_opens_the_door_until_it_is_revoked(world: World) -> None:
    old, new = SCHEME.issue("old"), SCHEME.issue("new")
    first = proofs.register_certificate("green", old)
    proofs.register_certificate("green", new)
    for certificate in (old, new):
        assert dfsp("GET", PATH, headers=by_proxy(certificate)).status_code == 202
    credentials.revoke(proofs.participant("green"), credential_id=first.pk, actor="test")
    assert error_of(dfsp("GET", PATH, headers=by_proxy(old))) == (401, "3000")
    assert dfsp("GET", PATH, headers=by_proxy(new)).status_code == 202
    assert error_of(dfsp("GET", PATH, source="blue", headers=by_proxy(new)))[0] == 403


@override_settings(**proofs.TOKEN)
def test_a_token_is_got_with_key_and_secret_and_opens_the_door_for_a_short_time(world: World) -> None:
    client = proofs.register_client("green")
    answer = proofs.ask_token(client.credential.label, client.secret)
    said = json.loads(answer.content)
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 600)
    assert answer["Cache-Control"] == "no-store"
    allowed = proofs.bearer(said["access_token"])
    assert dfsp("GET", PATH, headers=allowed).status_code == 202
    assert error_of(dfsp("GET", PATH, source="blue", headers=allowed))[0] == 403
    with override_settings(TOKEN_LIFETIME_S=-1):
        expired = tokens.issue(client_key=client.credential.label, participant="green", certificate_sha256=None)
    assert error_of(dfsp("GET", PATH, headers=proofs.bearer(expired)))[0] == 401


@override_settings(**proofs.TOKEN)
def test_revoking_a_client_ends_its_tokens_too(world: World) -> None:
    client = proofs.register_client("green")
    allowed = proofs.bearer(proofs.token_of(client))
    credentials.revoke(proofs.participant("green"), credential_id=client.credential.pk, actor="test")
    assert error_of(dfsp("GET", PATH, headers=allowed)) == (401, "3000")
    assert proofs.ask_token(client.credential.label, client.secret).status_code == 401


@override_settings(**proofs.TOKEN)
def test_two_clients_are_valid_at_once_and_no_third(world: World) -> None:
    old, new = proofs.register_client("green"), proofs.register_client("green")
    for client in (old, new):
        assert dfsp("GET", PATH, headers=proofs.bearer(proofs.token_of(client))).status_code == 202
    with pytest.raises(FspiopError, match="revoke one first"):
        proofs.register_client("green")
    credentials.revoke(proofs.participant("green"), credential_id=old.credential.pk, actor="test")
    proofs.register_client("green")


def test_a_secret_is_nowhere_in_the_database(world: World) -> None:
    client = proofs.register_client("green")
    rows = json.dumps([list(Credential.objects.values()), list(Entry.objects.values("before", "after"))], default=str)
    assert client.credential.label in rows
    assert client.secret not in rows


@pytest.mark.parametrize(
    ("form", "status", "word"),
    [
        ("grant_type=password", 400, "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", 400, "invalid_request"),
        ("", 400, "invalid_request"),
        ("grant_type=client_credentials&x=" + "y" * 5000, 413, "invalid_request"),
    ],
)
def test_token_requests_are_refused_in_oauths_own_form(world: World, form: str, status: int, word: str) -> None:
    client = proofs.register_client("green")
    answer = proofs.ask_token(client.credential.label, client.secret, form=form)
    assert (answer.status_code, json.loads(answer.content)["error"]) == (status, word)


def test_a_wrong_secret_and_an_unknown_client_are_told_the_same(world: World) -> None:
    client = proofs.register_client("green")
    answers = [proofs.ask_token(client.credential.label, "wrong"), proofs.ask_token("unknown", client.secret)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert answers[0]["WWW-Authenticate"].startswith("Basic")


@override_settings(**proofs.BOTH)
def test_both_a_certificate_and_a_token_bound_to_it_open_the_door(world: World) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    client = proofs.register_client("green")
    by = by_proxy(certificate)
    token = proofs.token_of(client, headers=by)
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert set(payload["cnf"]) == {"x5t#S256"}
    assert dfsp("GET", PATH, headers={**by, **proofs.bearer(token)}).status_code == 202


@override_settings(**proofs.SIGNED)
def test_what_is_signed_with_any_of_the_senders_valid_keys_is_taken(world: World) -> None:
    proofs.register_key("green")
    proofs.register_key("green", key_of("green's next"))
    for key in (key_of("green"), key_of("green's next")):
        assert proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue", key=key).status_code == 200
    answer = proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue", key=key_of("blue"))
    assert error_of(answer) == (400, "3105")


@override_settings(**proofs.SIGNED)
def test_a_key_counts_from_its_time_to_its_time(world: World) -> None:
    now = timezone.now()
    credentials.add_signing_key(
        proofs.participant("green"),
        key=proofs.public_pem(key_of("green")),
        valid_from=now + timedelta(hours=1),
        valid_until=now + timedelta(hours=2),
        actor="test",
    )
    said = proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue")
    assert "no valid signing key" in description_of(said)
    Credential.objects.update(valid_from=now)
    credential_cache.forget()
    assert proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue").status_code == 200


@override_settings(**proofs.SIGNED)
def test_put_parties_may_go_unsigned_where_the_scheme_says_so_and_nothing_else(world: World) -> None:
    body = {"party": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "green"}}}
    look_up(PATH)
    assert error_of(dfsp("PUT", PATH, body, destination="blue"))[1] == "3105"
    with override_settings(ALLOW_UNSIGNED_PUT_PARTIES=True):
        assert dfsp("PUT", PATH, body, destination="blue").status_code == 200
        assert error_of(dfsp("PUT", TRANSFER, ABORTED, destination="blue"))[1] == "3105"
        # One that is there must be right all the same.
        assert error_of(proofs.signed_dfsp("PUT", PATH, body, destination="blue", key=key_of("red")))[1] == "3105"


@override_settings(SIGNATURES="checked")
def test_where_signatures_are_checked_only_one_that_is_there_must_be_right(world: World) -> None:
    proofs.register_key("green")
    assert dfsp("PUT", TRANSFER, ABORTED, destination="blue").status_code == 200
    assert proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue").status_code == 200
    wrong = proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue", key=key_of("red"))
    assert error_of(wrong) == (400, "3105")


@override_settings(**proofs.SIGNED)
def test_json_written_anew_is_taken_of_whom_the_scheme_says_and_of_nobody_else(world: World) -> None:
    proofs.register_key("green")
    raw = json.dumps(ABORTED, indent=1).encode()
    anew = json.dumps(ABORTED, sort_keys=True, separators=(",", ":")).encode()
    date = "Tue, 24 Nov 2026 08:00:00 GMT"
    signing = proofs.signature(
        "PUT", TRANSFER, anew, source="green", destination="blue", key=key_of("green"), date=date
    )
    assert error_of(dfsp("PUT", TRANSFER, raw, destination="blue", headers=signing)) == (400, "3105")
    credentials.set_jws_compat(proofs.participant("green"), jws_compat=True, actor="test")
    assert dfsp("PUT", TRANSFER, raw, destination="blue", headers=signing).status_code == 200


@override_settings(**proofs.SIGNED)
@pytest.mark.parametrize("path", ["/parties/EMAIL/ada%40x.org", "/parties/EMAIL/ada@x.org", "/parties/ALIAS/Zo%C3%AB"])
def test_a_path_is_signed_as_its_sender_wrote_it(world: World, path: str) -> None:
    proofs.register_key("green")
    look_up(path)
    _, _, id_type, _ = path.split("/", 3)
    body = {"party": {"partyIdInfo": {"partyIdType": id_type, "partyIdentifier": "1", "fspId": "green"}}}
    assert proofs.signed_dfsp("PUT", path, body, destination="blue").status_code == 200
    # A server that decodes paths can not tell an identifier with a slash from one with a sub-id.
    escaped = proofs.signed_dfsp("PUT", path + "%2Fb", body, destination="blue")
    assert error_of(escaped) == (400, "3105")


@override_settings(**proofs.BOTH, **proofs.SIGNED)
def test_who_calls_is_known_without_a_query(world: World, django_assert_num_queries: object) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    proofs.register_key("green")
    headers = by_proxy(certificate)
    headers |= proofs.bearer(proofs.token_of(proofs.register_client("green"), headers=headers))

    def call() -> int:
        return proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue", headers=dict(headers)).status_code

    assert call() == 200
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert call() == 200


@override_settings(**proofs.SIGNED)
def test_a_key_that_can_not_be_read_shuts_the_door_for_its_own_participant_only(world: World) -> None:
    proofs.register_key("green")
    spoilt = proofs.register_key("blue")
    Credential.objects.filter(pk=spoilt.pk).update(pem="spoilt")
    credential_cache.forget()
    credential_cache._parsed.clear()
    assert proofs.signed_dfsp("PUT", TRANSFER, ABORTED, destination="blue").status_code == 200
    said = proofs.signed_dfsp("PUT", TRANSFER, ABORTED, source="blue", destination="green")
    assert error_of(said) == (400, "3105")


@override_settings(**proofs.CERTIFICATE, CREDENTIALS_REFRESH_S=60)
def test_where_the_database_does_not_answer_what_is_known_holds_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    assert dfsp("GET", PATH, headers=by_proxy(certificate)).status_code == 202

    def away() -> credential_cache.Snapshot:
        raise OperationalError("away")

    monkeypatch.setattr(credential_cache, "_load", away)
    snapshot = credential_cache.current()
    snapshot.taken_at -= 100  # to be read anew, and not too old
    assert dfsp("GET", PATH, headers=by_proxy(certificate)).status_code == 202
    snapshot.taken_at -= 250
    assert error_of(dfsp("GET", PATH, headers=by_proxy(certificate))) == (503, "2003")


@override_settings(**proofs.CERTIFICATE, CREDENTIALS_REFRESH_S=0.2)
def test_what_another_process_revokes_ends_here_within_the_refresh(world: World) -> None:
    certificate = SCHEME.issue("green")
    credential = proofs.register_certificate("green", certificate)
    assert dfsp("GET", PATH, headers=by_proxy(certificate)).status_code == 202
    Credential.objects.filter(pk=credential.pk).update(revoked_at=timezone.now())  # this process is not told
    time.sleep(0.25)
    assert error_of(dfsp("GET", PATH, headers=by_proxy(certificate)))[0] == 401
