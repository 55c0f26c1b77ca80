"""manage.py admin_reader: lets a user of the hub read the database tables at /admin/, or ends this right."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fspiop.errors import FspiopError
from hub.audit import program_change_requests
from hub.command_output_and_user import told, who
from portal import users


class Command(BaseCommand):
    help = "Lets a user of the hub read the database tables at /admin/. The pages allow no change."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--end", action="store_true", help="ends the right")

    def handle(self, *args: Any, **options: Any) -> None:
        username, may_read = options["username"], not options["end"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"no user {username}")
        try:
            program_change_requests.ask_where_needed(
                "set_admin_reader",
                program=program_change_requests.Program(who()),
                subject=username,
                payload=lambda: {"username": username, "may_read": may_read},
            )
            users.set_admin_reader(user, may_read=may_read, actor="manage.py")
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
            return
        except users.Refused as refused:
            raise CommandError(str(refused)) from None
        except FspiopError as error:
            raise CommandError(error.description) from None
        self.stdout.write(f"{username} {'may' if may_read else 'may not'} read the tables at /admin/.")
