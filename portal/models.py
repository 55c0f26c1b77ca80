"""What the portal keeps of its own: about its users, and how the last looks at the books ended."""

from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from hub.participants.models import Participant
from ledger.models import Account

TIME_ZONES = sorted(name for name in available_timezones() if "/" in name or name == "UTC")


def check_time_zone(name: str) -> None:
    if name not in TIME_ZONES:
        raise ValidationError(_("This is not a time zone."))


class Profile(models.Model):
    """A user of the portal: bound to one DFSP, or, without one, of the hub's own people."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    language = models.CharField(max_length=8, blank=True)  # empty: the browser's

    def __str__(self) -> str:
        return str(self.user)


class LedgerCheck(models.Model):
    """What one run of the ledger's invariants found; see `portal.tasks`."""

    at = models.DateTimeField(db_default=Now())
    seconds = models.FloatField()
    breaks = models.JSONField()  # the names of the invariants that did not hold

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.breaks or 'sound'}"


class LedgerBlock(models.Model):
    """So many ids of entries (`portal.queries.marks.SIZE`), added up when no entry among them could still appear."""

    number = models.BigIntegerField(primary_key=True)  # of the ids divided by the size
    through_at = models.DateTimeField()  # when the latest entry of it, and of all before it, was posted

    class Meta:
        ordering = ["number"]
        indexes = [
            # where a day begins
            models.Index(fields=["through_at"], name="block_by_moment")
        ]

    def __str__(self) -> str:
        return str(self.number)


class AccountMark(models.Model):
    """What was posted to an account up to the end of a block in which there is something of it.

    Derived from the entries, for statements of accounts: `manage.py check_ledger` compares them.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    block = models.BigIntegerField()
    debits = models.DecimalField(max_digits=38, decimal_places=0)
    credits = models.DecimalField(max_digits=38, decimal_places=0)
    entries = models.BigIntegerField()

    class Meta:
        ordering = ["account", "block"]
        constraints = [
            models.UniqueConstraint(fields=["account", "block"], name="one_mark_per_account_and_block"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.block}"
