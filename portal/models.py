"""What the portal keeps of its own: about its users, and how the last looks at the books ended."""

from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from hub.participants.models import Participant

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
