"""A10: the scheme's authority signs a strong key for its own DFSP, as a client's certificate and as nothing else."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.core.management import CommandError, call_command
from django.test import override_settings

from fspiop.errors import FspiopError
from hub.participants import certificate_authority, credential_cache, credentials
from hub.participants.models import Credential
from tests import proofs, signing
from tests.api.test_credentials_command import run as run_credentials
from tests.proofs import key_of
from tests.world import World


@pytest.fixture
def folder(tmp_path: Path, settings: object) -> Path:
    """An authority, and the settings that name it."""
    for name, value in signing.authority_in(tmp_path).items():
        setattr(settings, name, value)
    return tmp_path


def issue(name: str = "green", csr: str | None = None, *, days: int = 365) -> Credential:
    return credentials.issue_certificate(
        proofs.participant(name), csr=csr or signing.csr(name), days=days, actor="test"
    )


def refused(csr: str, name: str = "green") -> str:
    before = Credential.objects.count()
    with pytest.raises(FspiopError) as found:
        issue(name, csr)
    assert Credential.objects.count() == before
    return found.value.description


def certificate_of(credential: Credential) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credential.pem.encode())


def test_what_is_signed_is_a_clients_certificate_of_that_dfsp_for_the_time_that_the_hub_says(
    world: World, folder: Path
) -> None:
    credential = issue(days=90)
    found = certificate_of(credential)
    assert found.subject.rfc4514_string() == "CN=green"
    assert found.public_key() == key_of("tls of green").public_key()
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert abs(found.not_valid_after_utc - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    assert credential.valid_until == found.not_valid_after_utc
    assert credential.sha256 == found.fingerprint(hashes.SHA256()).hex()
    known = credential_cache.current().by_certificate(credential.sha256)
    assert known is not None
    assert known.participant_id == world.ids["green"]


def test_serial_numbers_are_random_and_a_renewal_is_another_certificate(world: World, folder: Path) -> None:
    first, second = certificate_of(issue()), certificate_of(issue())
    assert first.serial_number != second.serial_number
    assert min(first.serial_number.bit_length(), second.serial_number.bit_length()) > 64


def test_keys_on_a_curve_are_signed_too(world: World, folder: Path) -> None:
    issue(csr=signing.csr("green", key=ec.generate_private_key(ec.SECP256R1())))
    assert Credential.objects.count() == 1


def test_no_certificate_outlives_its_authority(world: World, folder: Path) -> None:
    own = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    assert certificate_of(issue(days=20_000)).not_valid_after_utc == own.not_valid_after_utc


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (lambda: signing.csr("green", key=key_of("short", 1024)), "2048"),
        (lambda: signing.csr("green", key=ec.generate_private_key(ec.SECP192R1())), "256 bits"),
        (lambda: signing.csr("blue"), "common name green"),
        (lambda: signing.csr("green", "blue"), "common name green"),
        (lambda: signing.csr("Green"), "common name green"),
        (lambda: signing.forged("green"), "not signed by its own key"),
        (lambda: proofs.private_pem(key_of("green")), "private key"),
        (lambda: proofs.pem_of(proofs.Authority("scheme").issue("green")), "signing request"),
        (lambda: "nonsense", "signing request"),
        (lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "signing request"),
        (lambda: signing.csr("green") + "x" * 20_000, "too long"),
        (lambda: "\ud7ff", "signing request"),
    ],
)
def test_a10_what_is_weak_forged_or_anothers_is_not_signed(world: World, folder: Path, csr: object, why: str) -> None:
    assert why in refused(csr())  # type: ignore[operator]


def test_a10_one_key_is_one_participants(world: World, folder: Path) -> None:
    key = key_of("shared")
    issue("blue", signing.csr("blue", key=key))
    assert "another participant" in refused(signing.csr("green", key=key))
    proofs.register_key("blue", key_of("signs for blue"))
    assert "another participant" in refused(signing.csr("green", key=key_of("signs for blue")))
    issue("blue", signing.csr("blue", key=key))  # its own, renewed


def test_a33_the_authoritys_key_is_in_its_file_only_and_for_its_owner_only(
    world: World, folder: Path, settings: object
) -> None:
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    secret = "".join((folder / "ca.key").read_text().splitlines()[1:3])
    (folder / "ca.key").write_text("garbage " + secret)
    said = refused(signing.csr("green"))
    assert "cannot be read" in said
    assert secret not in said
    assert str(folder) not in said
    settings.HUB_CA_KEY_FILE = str(folder / "missing.key")  # type: ignore[attr-defined]
    assert "cannot be read" in refused(signing.csr("green"))


def test_a_key_that_is_not_the_authoritys_signs_nothing(world: World, folder: Path) -> None:
    (folder / "ca.key").write_text(proofs.private_pem(key_of("another authority")))
    assert "does not match its certificate" in refused(signing.csr("green"))


def test_without_an_authority_the_hub_says_what_to_set(world: World) -> None:
    assert "HUB_CA_CERTIFICATE_FILE" in refused(signing.csr("green"))


def test_an_authority_is_made_once(tmp_path: Path, world: World) -> None:
    names = {"HUB_CA_CERTIFICATE_FILE": str(tmp_path / "ca.pem"), "HUB_CA_KEY_FILE": str(tmp_path / "ca.key")}
    with pytest.raises(CommandError, match="HUB_CA_CERTIFICATE_FILE"):
        call_command("authority", "create")
    with override_settings(**names):
        call_command("authority", "create", "--name", "Our scheme")
        key = (tmp_path / "ca.key").read_bytes()
        with pytest.raises(CommandError, match="exists"):
            call_command("authority", "create")
        assert (tmp_path / "ca.key").read_bytes() == key
        issue()


def test_the_tls_front_takes_what_was_signed_until_it_is_on_the_list_of_revocations(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, revoked = issue(), issue()
    proofs.register_certificate("blue", proofs.Authority("elsewhere").issue("blue"))
    run_credentials("revoke", "green", str(revoked.pk))
    blue = Credential.objects.get(participant__name="blue")
    run_credentials("revoke", "blue", str(blue.pk))
    call_command("authority", "revocations")
    (folder / "revoked.pem").write_text(capsys.readouterr().out)
    listed = x509.load_pem_x509_crl((folder / "revoked.pem").read_bytes())
    assert [entry.serial_number for entry in listed] == [certificate_of(revoked).serial_number]
    assert _enters(folder, kept)
    assert not _enters(folder, revoked)


def _enters(folder: Path, credential: Credential) -> bool:
    """Whether a TLS server that believes the authority and its list takes this client, as OpenSSL decides it."""
    (folder / "client.pem").write_text(credential.pem + proofs.private_pem(key_of("tls of green")))
    server_key = key_of("server")
    server = proofs.Authority("servers").issue("hub.example", host="hub.example", key=server_key)
    (folder / "server.pem").write_text(proofs.pem_of(server) + proofs.private_pem(server_key))
    at_hub = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_hub.load_cert_chain(folder / "server.pem")
    at_hub.load_verify_locations(folder / "ca.pem")
    at_hub.load_verify_locations(folder / "revoked.pem")
    at_hub.verify_mode, at_hub.verify_flags = ssl.CERT_REQUIRED, ssl.VERIFY_CRL_CHECK_LEAF
    at_dfsp = ssl.create_default_context()
    at_dfsp.load_verify_locations(cadata=proofs.pem_of(proofs.Authority("servers").certificate))
    at_dfsp.load_cert_chain(folder / "client.pem")
    to_hub, to_dfsp = ssl.MemoryBIO(), ssl.MemoryBIO()
    hub = at_hub.wrap_bio(to_hub, to_dfsp, server_side=True)
    dfsp = at_dfsp.wrap_bio(to_dfsp, to_hub, server_hostname="hub.example")
    for _ in range(4):
        for side in (dfsp, hub):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return hub.getpeercert() is not None


def test_the_list_is_good_for_the_days_asked_for(world: World, folder: Path) -> None:
    listed = x509.load_pem_x509_crl(certificate_authority.revocations([], days=7).encode())
    assert listed.next_update_utc is not None
    assert abs(listed.next_update_utc - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert listed.is_signature_valid(key.public_key())
