"""manage.py credentials: what an operator without the administration API does."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from hub.audit.models import Entry
from hub.participants.models import Credential
from tests import proofs
from tests.world import World


def run(*arguments: str) -> str:
    said = io.StringIO()
    call_command("credentials", *arguments, stdout=said)
    return said.getvalue()


def test_credentials_are_added_listed_and_revoked(world: World, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_text(proofs.public_pem(proofs.key_of("green")))
    certificate.write_text(proofs.pem_of(proofs.Authority("scheme").issue("tls1")))
    run("key", "green", str(key))
    run("certificate", "green", str(certificate))
    said = run("client", "green")
    assert "client secret" in said
    listed = run("list", "green")
    assert "tls1" in listed
    assert said.split("client secret")[1].strip() not in listed
    number = Credential.objects.get(kind="signingKey").pk
    assert "revoked" in run("revoke", "green", str(number))
    assert Entry.objects.filter(subject="green", action="credential_revoked").count() == 1
    for wrong in (("key", "nobody", str(key)), ("key", "green", str(key)), ("revoke", "green", "x"), ("key", "green")):
        with pytest.raises(CommandError):
            run(*wrong)


def test_the_hubs_own_public_key_is_shown(world: World, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        run("hub-key")
    file = tmp_path / "hub.pem"
    file.write_text(proofs.private_pem(proofs.key_of("hub")))
    with override_settings(HUB_SIGNING_KEY_FILE=str(file)):
        assert run("hub-key") == proofs.public_pem(proofs.key_of("hub"))
