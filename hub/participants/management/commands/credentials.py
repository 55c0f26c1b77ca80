"""manage.py credentials: lists, adds and revokes what participants prove themselves with."""

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.table import Table

from fspiop import jws, keys
from fspiop.errors import FspiopError
from hub.participants import credentials
from hub.participants.models import Credential, Participant
from hub.terminal import console_of

_ACTIONS = {
    "list": "all of a participant's credentials",
    "certificate": "register the TLS client certificate in FILE (PEM)",
    "key": "register the signing key in FILE (PEM, X.509 or JWK)",
    "client": "make an OAuth2 client; its secret is shown once",
    "revoke": "end the credential with the number ID, for ever",
}


class Command(BaseCommand):
    help = "What a participant proves itself with: " + "; ".join(f"{name}: {text}" for name, text in _ACTIONS.items())

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=[*_ACTIONS, "hub-key"], help="hub-key shows the hub's own public key")
        parser.add_argument("participant", nargs="?")
        parser.add_argument("what", nargs="?", metavar="FILE|ID")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options["action"], options["participant"], options["what"] or "")
        except (FspiopError, OSError, ValueError) as error:
            raise CommandError(getattr(error, "description", str(error))) from None

    def _do(self, action: str, name: str | None, what: str) -> None:
        if action == "hub-key":
            self.stdout.write(_hub_key(), ending="")
            return
        participant = Participant.objects.filter(name=name, is_hub=False).first()
        if participant is None:
            raise CommandError(f"{name} is no DFSP of this hub")
        actor = f"manage.py ({getpass.getuser()})"
        match action:
            case "list":
                self._list(participant)
            case "certificate":
                pem = Path(what).read_text("utf-8")
                self._say(credentials.add_certificate(participant, pem=pem, actor=actor))
            case "key":
                key = Path(what).read_text("utf-8")
                self._say(credentials.add_signing_key(participant, key=key, actor=actor))
            case "client":
                client = credentials.add_client(participant, actor=actor)
                self._say(client.credential)
                self.stdout.write(f"client key     {client.credential.label}\nclient secret  {client.secret}")
            case "revoke":
                self._say(credentials.revoke(participant, credential_id=int(what), actor=actor))

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
    return keys.public_pem(jws.load_private_key(Path(settings.HUB_SIGNING_KEY_FILE).read_bytes()).public_key())
