"""manage.py authority: creates the authority that signs DFSPs' certificates, or prints the authority's certificate
revocation list."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hub.audit import record
from hub.participants import certificate_authority
from hub.participants.models import Credential


class Command(BaseCommand):
    help = (
        "create: creates an authority in the files that HUB_CA_CERTIFICATE_FILE and HUB_CA_KEY_FILE name; "
        "revocations: prints the list of revoked certificates for the TLS front"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["create", "revocations"])
        parser.add_argument("--name", default=f"{settings.HUB_NAME} DFSPs", help="the authority's name")
        parser.add_argument("--days", type=int, default=30, help="validity of the list of revocations, in days")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["action"] == "create":
                self._create(options["name"])
            else:
                self.stdout.write(_revocations(options["days"]), ending="")
        except (certificate_authority.NotReady, OSError) as error:
            raise CommandError(str(error)) from None

    def _create(self, name: str) -> None:
        if not certificate_authority.is_set_up():
            raise CommandError("set HUB_CA_CERTIFICATE_FILE and HUB_CA_KEY_FILE to the paths of the new files")
        certificate_file = Path(settings.HUB_CA_CERTIFICATE_FILE)
        certificate_authority.create(name, certificate_file=certificate_file, key_file=Path(settings.HUB_CA_KEY_FILE))
        record("authority_created", subject=settings.HUB_NAME, actor="manage.py", after={"name": name})
        self.stdout.write(f"{certificate_file}: give it to the TLS front as the authority of the DFSPs' certificates")


def _revocations(days: int) -> str:
    found = Credential.objects.filter(kind=Credential.Kind.CERTIFICATE, revoked_at__isnull=False).exclude(pem="")
    revoked = [(pem, at) for pem, at in found.values_list("pem", "revoked_at") if at is not None]
    return certificate_authority.revocations(revoked, days=days)
