"""Plain rows for tests. Participants, accounts and payments come from `tests.world`, through the services."""

from django.contrib.auth.models import User
from factory import Trait
from factory.django import DjangoModelFactory, Password

from portal.models import LedgerCheck

PASSWORD = "a long password of Django's"


class UserFactory(DjangoModelFactory[User]):
    """A user of Django's admin and of the development APIs, without a role in the portal."""

    class Meta:
        model = User

    class Params:
        is_root = Trait(is_staff=True, is_superuser=True)

    username = "olga"
    email = ""
    password = Password(PASSWORD)


class LedgerCheckFactory(DjangoModelFactory[LedgerCheck]):
    """A run of `check_ledger` that found nothing."""

    class Meta:
        model = LedgerCheck

    seconds = 0.1
    breaks: list[str] = []
