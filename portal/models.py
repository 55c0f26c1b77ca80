"""The portal's own tables: users, invitations, results of ledger checks, replays, sums for account statements, and the
history of payments."""

from zoneinfo import available_timezones

import pgtrigger
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from hub.participants.models import Participant
from ledger.models import Account
from portal.certification.models import Certification as Certification
from portal.certification.models import CertificationCase as CertificationCase
from rules.rulesets.models import RuleSetVersion

TIME_ZONES = sorted(name for name in available_timezones() if "/" in name or name == "UTC")


def check_time_zone(name: str) -> None:
    if name not in TIME_ZONES:
        raise ValidationError(_("This is not a time zone."))


class Profile(models.Model):
    """A user of the portal: either a user of one DFSP, or a user of the hub.

    Until other administrators have confirmed the first sign-in of a new account, this account can only read. The same
    rule applies after a reset of an account's password and second factor (see `portal.first_sign_in_confirmation`).
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    language = models.CharField(max_length=8, blank=True)  # if empty, pages use the browser's language
    confirmed_at = models.DateTimeField(null=True)
    unconfirmed_since = models.DateTimeField(null=True, db_default=Now())
    # The time of the first sign-in with both factors since `unconfirmed_since`. Administrators confirm this sign-in.
    signed_in_at = models.DateTimeField(null=True)
    signed_in_from = models.GenericIPAddressField(null=True)
    signed_in_with = models.CharField(max_length=200, blank=True, db_default="")  # the browser's User-Agent header

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=False, unconfirmed_since__isnull=True)
                | Q(confirmed_at__isnull=True, unconfirmed_since__isnull=False),
                name="an_account_is_confirmed_or_waits_since_some_time",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="an_account_is_confirmed_by_another_person",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL AND NOT EXISTS (
                        SELECT FROM portal_confirmation c
                        WHERE c.user_id = NEW.user_id AND c.signed_in_at = OLD.signed_in_at) THEN
                        RAISE EXCEPTION 'the sign-in of account % was not confirmed', OLD.user_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return str(self.user)


class Confirmation(models.Model):
    """An administrator's confirmation that the owner of the account made the first sign-in."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    signed_in_at = models.DateTimeField()
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "signed_in_at", "confirmed_by"], name="an_administrator_confirms_a_sign_in_once"
            ),
            models.CheckConstraint(condition=~Q(user=F("confirmed_by")), name="nobody_confirms_their_own_sign_in"),
        ]
        triggers = [
            pgtrigger.Protect(name="confirmations_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.user_id} by {self.confirmed_by_id}"


class Invitation(models.Model):
    """An invitation, with which the owner of an account sets the account's password once (see `portal.invitations`).

    The hub sends the link by e-mail to the owner. If the hub cannot send e-mail, one person hands over the link, and
    another person hands over the code. Each of the two people sees only their own half of the invitation, and only
    once. The hub stores keyed hashes of the link and the code.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    link_holder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    code_holder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    link_hash = models.CharField(max_length=64, null=True)
    code_hash = models.CharField(max_length=64, null=True)
    wrong_codes = models.PositiveSmallIntegerField(default=0)
    notification_id = models.BigIntegerField(null=True)  # the e-mail with the link
    made_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    is_used = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(ended_at__isnull=True), name="an_account_has_one_open_invitation"
            ),
            models.UniqueConstraint(fields=["link_hash"], name="a_link_opens_one_invitation"),
            models.CheckConstraint(
                condition=Q(link_holder__isnull=True, code_holder__isnull=True, code_hash__isnull=True)
                | (
                    Q(link_holder__isnull=False, code_holder__isnull=False, notification_id__isnull=True)
                    & ~Q(link_holder=F("code_holder"))
                    & ~Q(link_holder=F("user"))
                    & ~Q(code_holder=F("user"))
                ),
                name="link_and_code_go_to_two_others",
            ),
            models.CheckConstraint(
                condition=Q(is_used=False) | Q(ended_at__isnull=False, link_hash__isnull=False),
                name="a_used_invitation_has_ended",
            ),
            models.CheckConstraint(
                condition=Q(is_used=False) | Q(code_holder__isnull=True) | Q(code_hash__isnull=False),
                name="an_invitation_in_two_halves_is_used_with_both",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="an_invitation_is_shown_once_and_ends_once",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF OLD.ended_at IS NOT NULL THEN
                        RAISE EXCEPTION 'invitation % has ended', OLD.id USING ERRCODE = 'check_violation';
                    ELSIF (OLD.link_hash IS NOT NULL AND NEW.link_hash IS DISTINCT FROM OLD.link_hash)
                       OR (OLD.code_hash IS NOT NULL AND NEW.code_hash IS DISTINCT FROM OLD.code_hash)
                       OR (NEW.user_id, NEW.link_holder_id, NEW.code_holder_id, NEW.expires_at) IS DISTINCT FROM
                          (OLD.user_id, OLD.link_holder_id, OLD.code_holder_id, OLD.expires_at)
                       OR NEW.wrong_codes < OLD.wrong_codes THEN
                        RAISE EXCEPTION 'the halves of invitation % do not change', OLD.id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="an_invitation_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"invitation of {self.user_id}"

    @property
    def is_late(self) -> bool:
        return self.expires_at <= timezone.now()


class LedgerCheck(models.Model):
    """The result of one check of the ledger's invariants: `portal.tasks`."""

    at = models.DateTimeField(db_default=Now())
    seconds = models.FloatField()
    breaks = models.JSONField()  # the names of the broken invariants

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.breaks or 'sound'}"


class RuleReplay(models.Model):
    """One replay, with the replay's figures (see `portal.replays`). A replay applies a version of the rules to the
    stored payments."""

    class State(models.TextChoices):
        WAITING = "WAITING"
        RUNNING = "RUNNING"
        DONE = "DONE"
        FAILED = "FAILED"

    version = models.ForeignKey(RuleSetVersion, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    done = models.BigIntegerField(default=0)  # the number of rows that the replay has read
    whole = models.BigIntegerField(default=0)
    report = models.JSONField(null=True)  # `ledger.rule_history.replay_command.figures`
    fault = models.CharField(max_length=512, blank=True)
    asked_by = models.CharField(max_length=320)
    asked_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)  # when the process last reported its progress
    ended_at = models.DateTimeField(null=True)
    # The person who stopped the replay. A running replay reads this value, and ends if the value is not empty.
    stopped_by = models.CharField(max_length=320, blank=True, default="", db_default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="DONE") | Q(report__isnull=False), name="a_replay_that_is_done_has_its_figures"
            ),
            models.UniqueConstraint(fields=["state"], condition=Q(state="RUNNING"), name="one_replay_runs_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk} of version {self.version_id}: {self.state}"


class SavedView(models.Model):
    """A search of the payments. A user has saved this search, and has given the search a name. Only the user who saved
    the search sees the name."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=64)
    query = models.CharField(max_length=1024)  # the search's values, as the query string of the page
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="a_users_views_have_different_names")]

    def __str__(self) -> str:
        return self.name


class LedgerBlock(models.Model):
    """A block of `balance_checkpoints.SIZE` entry ids in which no new entry can appear."""

    # The block of an entry: the entry's id, divided by the size, rounded down.
    number = models.BigIntegerField(primary_key=True)
    through_at = models.DateTimeField()  # the time of the latest entry in this block or in an earlier block

    class Meta:
        ordering = ["number"]
        indexes = [
            # this index finds the block in which a day begins
            models.Index(fields=["through_at"], name="block_by_moment")
        ]

    def __str__(self) -> str:
        return str(self.number)


class AccountMark(models.Model):
    """The sums of the entries of one account, up to the end of a block. The block contains at least one entry of this
    account.

    Account statements use these sums. The hub computes these sums from the entries. `manage.py check_ledger` compares
    the sums with the entries.
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


class Alarm(models.Model):
    """A problem that the people who run the hub must examine. A tick raises alarms and ends alarms: `portal.alarms`.

    A subject has at most one open alarm of each kind.
    """

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=128, blank=True)  # for example a participant; empty for the hub
    details = models.JSONField(default=dict)  # the values of the alarm's sentence
    raised_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())  # when a tick last found the cause
    ended_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    assigned_to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    notified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(ended_at__isnull=True),
                name="a_subject_has_one_open_alarm_of_a_kind",
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True, acknowledged_by="")
                | (Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by="")),
                name="an_acknowledged_alarm_has_its_person",
            ),
        ]
        indexes = [
            # this index is for open alarms that wait for a notification
            models.Index(
                fields=["id"], condition=Q(notified_at__isnull=True, ended_at__isnull=True), name="alarms_not_notified"
            ),
            # this index is for the time of the last notification
            models.Index(fields=["notified_at"], name="alarms_by_notification"),
            # this index is for the removal of alarms that ended long ago
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="alarms_ended"),
        ]
        triggers = [
            pgtrigger.Protect(
                name="an_alarm_ends_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.ended_at IS NOT NULL"),
            ),
            pgtrigger.Protect(
                name="an_open_alarm_is_not_deleted",
                operation=pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.ended_at IS NULL"),
            ),
        ]

    def __str__(self) -> str:
        return f"alarm {self.pk}"


class LimitUse(models.Model):
    """The percentage of a position's limit that was in use in one minute. The overview's chart shows these
    percentages."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    minute = models.DateTimeField()
    percent = models.SmallIntegerField()

    class Meta:
        ordering = ["minute"]
        constraints = [
            models.UniqueConstraint(fields=["minute", "account"], name="a_position_has_one_use_for_each_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.minute:%H:%M} {self.percent} %"


class HistoryRow(models.Model):
    """The payments, quotes or lookups that arrived in one period: their number, value, outcomes and durations.

    `portal.history` explains the columns and keeps the rows up to date.
    """

    class Source(models.TextChoices):
        TRANSFER = "transfer"
        QUOTE = "quote"
        LOOKUP = "lookup"

    class Grain(models.TextChoices):
        HOUR = "hour"
        DAY = "day"
        WEEK = "week"
        MONTH = "month"

    source = models.CharField(max_length=8, choices=Source)
    grain = models.CharField(max_length=5, choices=Grain)
    # A sum: 1 if the row is about one payer, plus 2 if the row is about one payee, plus 4 if the row is about one use
    # case.
    scope = models.PositiveSmallIntegerField()
    at = models.DateTimeField()  # the beginning of the period
    payer_id = models.BigIntegerField()
    payee_id = models.BigIntegerField()
    use_case = models.CharField(max_length=32)
    currency = models.CharField(max_length=3)
    ended = models.BigIntegerField()
    succeeded = models.BigIntegerField()
    value = models.DecimalField(max_digits=38, decimal_places=0)
    durations = models.JSONField()  # the number of successes by bucket of the duration
    reasons = models.JSONField()  # the number of failures by reason

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "grain", "scope", "at", "payer_id", "payee_id", "use_case", "currency"],
                name="one_row_of_history_per_period_and_scope",
            ),
            models.CheckConstraint(
                condition=Q(succeeded__gte=0, value__gte=0, ended__gte=F("succeeded"), ended__gt=0),
                name="a_row_of_history_counts_what_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.grain} {self.at}"


class HistoryMark(models.Model):
    """How far the history has read one source. The database transaction that changes the history's rows also changes
    this row."""

    source = models.CharField(max_length=8, primary_key=True, choices=HistoryRow.Source)
    # Every row of the source that arrived up to this time is counted, or is in HistoryOpen.
    up_to = models.DateTimeField()
    open_position = models.CharField(max_length=36, blank=True, default="", db_default="")
    time_zone = models.CharField(max_length=64)  # the time zone in which days, weeks and months begin

    def __str__(self) -> str:
        return f"{self.source} up to {self.up_to}"


class HistoryOpen(models.Model):
    """A transfer or a quote that had not ended yet when the history read it. The history counts the transfer or quote
    after it has ended."""

    source = models.CharField(max_length=8, choices=HistoryRow.Source)
    row_id = models.CharField(max_length=36)

    class Meta:
        ordering = ["source", "row_id"]
        constraints = [models.UniqueConstraint(fields=["source", "row_id"], name="a_row_waits_for_its_end_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.row_id}"
