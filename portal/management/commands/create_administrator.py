"""manage.py create_administrator: the first people of a hub, who then ask for the others' accounts in the portal."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from portal import invitations, users
from portal.permissions import Role


class Command(BaseCommand):
    help = (
        "Makes a user with the administrator's role and prints the link at which that person sets a password."
        " Make two: each change of roles needs one administrator who asks and another who approves."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", required=True, help="one person, one address")
        parser.add_argument("--role", action="append", choices=Role.values, help="instead of administrator; repeatable")
        parser.add_argument("--url", default=settings.PORTAL_URL, help="where the hub is reached")

    def handle(self, *args: Any, **options: Any) -> None:
        roles = frozenset(Role(name) for name in options["role"] or [Role.ADMINISTRATOR])
        try:
            with transaction.atomic():
                user = users.create(
                    username=options["username"],
                    email=options["email"],
                    roles=roles,
                    participant=None,
                    actor="manage.py",
                    is_confirmed=True,
                )
                link = options["url"].rstrip("/") + invitations.make_for_console(user)
        except users.Refused as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(f"{user.username} exists. Within a day, that person sets the password at\n{link}")
