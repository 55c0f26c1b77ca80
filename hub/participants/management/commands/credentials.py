"""manage.py credentials: lists, registers and revokes participants' credentials."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.table import Table

from fspiop import jws, keys_and_certificates
from fspiop.errors import FspiopError
from hub import client_secrets
from hub.audit import program_change_requests
from hub.command_output_and_user import console_of, told, who
from hub.participants import credentials
from hub.participants.models import Credential, Participant

_ACTIONS = {
    "list": "list all of a participant's credentials",
    "certificate": "register the TLS client certificate in FILE (PEM)",
    "key": "register the signing key in FILE (PEM, X.509 or JWK)",
    "client": "create an OAuth2 client; its secret is shown once",
    "revoke": "revoke the credential with the number ID permanently",
}


class Command(BaseCommand):
    help = "A participant's credentials: " + "; ".join(f"{name}: {text}" for name, text in _ACTIONS.items())

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=[*_ACTIONS, "hub-key"], help="hub-key shows the hub's own public key")
        parser.add_argument("participant", nargs="?")
        parser.add_argument("what", nargs="?", metavar="FILE|ID")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options["action"], options["participant"], options["what"] or "")
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
        except (FspiopError, OSError, ValueError) as error:
            raise CommandError(getattr(error, "description", str(error))) from None

    def _do(self, action: str, name: str | None, what: str) -> None:
        if action == "hub-key":
            self.stdout.write(_hub_key(), ending="")
            return
        participant = Participant.objects.filter(name=name, is_hub=False).first()
        if participant is None:
            raise CommandError(f"{name} is not a DFSP of this hub")
        actor = who()
        match action:
            case "list":
                self._list(participant)
            case "certificate":
                pem = Path(what).read_text("utf-8")
                self._needs_two("add_credential", participant, kind=Credential.Kind.CERTIFICATE.value, text=pem)
                self._say(credentials.add_certificate(participant, pem=pem, actor=actor))
            case "key":
                key = Path(what).read_text("utf-8")
                self._needs_two("add_credential", participant, kind=Credential.Kind.SIGNING_KEY.value, text=key)
                self._say(credentials.add_signing_key(participant, key=key, actor=actor))
            case "client":
                self._client(participant, actor)
            case "revoke":
                found = credentials.of_participant(participant, int(what))
                if found.revoked_at is None:
                    self._needs_two("revoke_credential", participant, **credentials.named(found))
                self._say(credentials.revoke(participant, credential_id=found.pk, actor=actor))

    def _needs_two(self, change: str, participant: Participant, /, **payload: Any) -> None:
        program_change_requests.ask_where_needed(
            change,
            program=program_change_requests.Program(who()),
            subject=participant.name,
            payload=lambda: payload | {"participant": participant.name},
        )

    def _client(self, participant: Participant, actor: str) -> None:
        """Creates a client.

        This command prints the new client's secret immediately, even if the client still waits for approval, because no
        later command can print the secret.
        """
        client_key, secret = credentials.new_client_key(participant), client_secrets.make()
        sha256 = client_secrets.hash_of(secret)
        told = f"client key     {client_key}\nclient secret  {secret}"
        try:
            self._needs_two("add_client", participant, label=client_key, secret_sha256=sha256, valid_until=None)
        except program_change_requests.Waits:
            self.stdout.write(told)
            raise
        credential = credentials.register_client(participant, client_key=client_key, sha256=sha256, actor=actor)
        self._say(credential)
        self.stdout.write(told)

    def _list(self, participant: Participant) -> None:
        now = timezone.now()
        table = Table("id", "kind", "whose", "valid from", "valid until", "state")
        for found in participant.credentials.all():
            state = "revoked" if found.revoked_at else "valid" if found.valid_from <= now < found.valid_until else "-"
            times = (f"{found.valid_from:%Y-%m-%d %H:%M}", f"{found.valid_until:%Y-%m-%d %H:%M}")
            table.add_row(str(found.pk), found.kind, found.label, *times, state)
        console_of(self).print(table)

    def _say(self, credential: Credential) -> None:
        word = "revoked" if credential.revoked_at else f"valid until {credential.valid_until:%Y-%m-%d %H:%M}"
        self.stdout.write(f"{credential.kind} {credential.pk} of {credential.participant}: {word}")


def _hub_key() -> str:
    if not settings.HUB_SIGNING_KEY_FILE:
        raise CommandError("HUB_SIGNING_KEY_FILE is not set")
    return keys_and_certificates.public_pem(
        jws.load_private_key(Path(settings.HUB_SIGNING_KEY_FILE).read_bytes()).public_key()
    )
