"""manage.py webhook_key: prints the key with which a receiver checks the signatures of its webhooks."""

import base64
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.notifications import webhooks


class Command(BaseCommand):
    help = "Prints the key that signs webhooks to a URL, in the form of the Standard Webhooks libraries."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", help="exactly as in NOTIFICATION_WEBHOOKS")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = webhooks.key_of(options["url"])
        except webhooks.NoSecret:
            raise CommandError("WEBHOOK_SECRET is not set.") from None
        self.stdout.write("whsec_" + base64.b64encode(key).decode())
