"""manage.py create_administrator: the first people of a hub, who then ask for the others' accounts in the portal."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal import users
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
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the hub is reached")

    def handle(self, *args: Any, **options: Any) -> None:
        roles = frozenset(Role(name) for name in options["role"] or [Role.ADMINISTRATOR])
        try:
            user = users.create(
                username=options["username"], email=options["email"], roles=roles, participant=None, actor="manage.py"
            )
        except users.Refused as refused:
            raise CommandError(str(refused)) from None
        link = options["url"].rstrip("/") + users.invitation_path(user)
        self.stdout.write(f"{user.username} exists. Within a day, set its password at\n{link}")
