"""Checks the hub's signature of a payment's JSON or PDF file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from fspiop import jws
from portal import signed_payment_documents


class Command(BaseCommand):
    help = "Checks that this hub, or the hub with the key of --key, has signed a payment's JSON or PDF file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--key", type=Path, help="the hub's public key as PEM; default: this hub's own key")

    def handle(self, *args: Any, file: Path, key: Path | None, **options: Any) -> None:
        if key is not None:
            public = jws.load_public_key(key.read_bytes())
        else:
            own = signed_payment_documents.Signer.of_hub().key
            if own is None:
                raise CommandError("HUB_SIGNING_KEY_FILE is not set: name the hub's public key with --key")
            public = own.public_key()
        try:
            signed_payment_documents.check(file.read_bytes(), [public])
        except signed_payment_documents.NotSigned as fault:
            raise CommandError(f"{file}: {fault}") from None
        self.stdout.write(f"{file}: signed by the hub, and not changed since")
