"""manage.py create_administrator: creates the hub's first users. These users then request the other accounts in the
portal."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from fspiop.errors import FspiopError
from hub.audit import program_change_requests
from hub.command_output_and_user import told, who
from portal import invitations, users
from portal.permissions import Role

_FEWEST = 2  # the smallest number of administrators: one requests a change, and another approves the change


class Command(BaseCommand):
    help = (
        "Creates a user with the administrator's role and prints the link at which that person sets a password."
        " Create two users, because one administrator requests each change of roles, and another approves the change."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", required=True, help="each person must have their own address")
        parser.add_argument("--role", action="append", choices=Role.values, help="instead of administrator; repeatable")
        parser.add_argument("--url", default=settings.PORTAL_URL, help="the address of the hub")

    def _needs_two(self, username: str, email: str, roles: frozenset[Role]) -> None:
        """Raises Waits if a second person must approve the new user.

        The first two administrators need no approval, because nobody could approve these accounts.
        """
        if settings.TWO_PEOPLE == program_change_requests.EVERYWHERE and users.administrators() < _FEWEST:
            if roles != {Role.ADMINISTRATOR}:
                raise CommandError("nobody can approve this account yet: create two administrators first")
            return
        program_change_requests.ask_where_needed(
            "create_user",
            program=program_change_requests.Program(who()),
            subject=username[:128],
            payload=lambda: {"username": username, "email": email, "roles": sorted(roles), "participant": ""},
        )

    def handle(self, *args: Any, **options: Any) -> None:
        roles = frozenset(Role(name) for name in options["role"] or [Role.ADMINISTRATOR])
        try:
            self._needs_two(options["username"], options["email"], roles)
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
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
            return
        except users.Refused as refused:
            raise CommandError(str(refused)) from None
        except FspiopError as error:
            raise CommandError(error.description) from None
        self.stdout.write(
            f"The account {user.username} was created. Within a day, that person sets the password at\n{link}"
        )
