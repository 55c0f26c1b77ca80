"""The tables of lists, of names that the hub has seen, of matches between seen and listed names, and of kill switches.

The tables store a key for each party (`rules.party_keys`), so no table has a customer's identifier. The names of
customers are encrypted.
"""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rules.lists.approval_trigger import needs_approval


class ChangeNumber(models.Model):
    """The number of changes that were committed so far. Each process stores this number with its copy of the rows. If
    the two numbers differ, the copy is old."""

    name = models.CharField(max_length=16, primary_key=True)
    number = models.BigIntegerField()
    transaction = models.BigIntegerField()  # the PostgreSQL transaction of the last change

    def __str__(self) -> str:
        return f"{self.name} {self.number}"


class PartyList(models.Model):
    """A list of parties or names. Rules refer to a list by the list's name."""

    class Kind(models.TextChoices):
        BLOCK = "BLOCK"
        ALLOW = "ALLOW"
        EXCLUSION = "EXCLUSION"  # customers whom the scheme excludes
        SANCTIONS = "SANCTIONS"

    name = models.CharField(max_length=48, unique=True)
    kind = models.CharField(max_length=9, choices=Kind)
    title = models.CharField(max_length=128, blank=True)
    least_score = models.PositiveSmallIntegerField(default=88)  # how similar a name must be to a listed name
    version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(name__regex=r"^[a-z0-9][a-z0-9-]*$") & ~Q(name="kill-switch"),
                name="a_list_has_a_name_of_small_letters_and_digits",
            ),
            models.CheckConstraint(
                condition=Q(least_score__gte=70, least_score__lte=100), name="a_name_matches_from_70_to_100"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ListVersion(models.Model):
    """One version of a list, with the file or the single change that created the version."""

    party_list = models.ForeignKey(PartyList, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    made_at = models.DateTimeField(db_default=Now())
    made_by = models.CharField(max_length=300)
    file_name = models.CharField(max_length=128, blank=True)  # empty if one entry was added or removed
    sha256 = models.CharField(max_length=64, blank=True)
    added = models.PositiveIntegerField()
    removed = models.PositiveIntegerField()
    change = models.BigIntegerField(null=True)  # numbered at the transaction's end: see `rules.lists.change_numbers`

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["party_list", "number"], name="a_list_has_each_version_once"),
        ]
        indexes = [models.Index(fields=["change"], name="list_versions_by_change")]
        triggers = [pgtrigger.Protect(name="a_version_is_never_deleted", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.party_list} {self.number}"


class Entry(models.Model):
    """An entry of a list: either a party's key or a name. The entry names two versions of the list: the version that
    added the entry, and the version that removed the entry."""

    party_list = models.ForeignKey(PartyList, on_delete=models.PROTECT, related_name="entries", db_index=False)
    key = models.BigIntegerField(null=True)
    name = models.CharField(max_length=256, blank=True)
    folded = models.CharField(max_length=1024, blank=True)
    reference = models.CharField(max_length=128, blank=True)  # the entry's number at the publisher of the list
    added_by = models.ForeignKey(ListVersion, on_delete=models.PROTECT, related_name="+")
    removed_by = models.ForeignKey(ListVersion, on_delete=models.PROTECT, related_name="+", null=True)

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(key__isnull=False, name="", folded="") | (Q(key__isnull=True) & ~Q(folded="")),
                name="an_entry_is_a_party_or_a_name",
            ),
            models.UniqueConstraint(
                fields=["party_list", "key"],
                condition=Q(key__isnull=False, removed_by__isnull=True),
                name="a_list_has_a_party_once",
            ),
            models.UniqueConstraint(
                fields=["party_list", "folded", "reference"],
                condition=Q(key__isnull=True, removed_by__isnull=True),
                name="a_list_has_a_name_of_a_reference_once",
            ),
        ]
        indexes = [
            # with this index, the hub finds the lists that contain given parties, and reads all listed parties page by
            # page
            models.Index(
                fields=["key", "id"],
                condition=Q(key__isnull=False, removed_by__isnull=True),
                name="listed_parties",
            ),
            # with this index, the hub reads all listed names page by page
            models.Index(fields=["id"], condition=Q(key__isnull=True, removed_by__isnull=True), name="listed_names"),
        ]
        triggers = [
            pgtrigger.Protect(
                name="an_entry_changes_only_by_its_removal",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.removed_by_id IS NOT NULL OR (OLD.party_list_id, OLD.key, OLD.name, OLD.folded, OLD.reference,"
                    " OLD.added_by_id) IS DISTINCT FROM (NEW.party_list_id, NEW.key, NEW.name, NEW.folded,"
                    " NEW.reference, NEW.added_by_id)"
                ),
            ),
            pgtrigger.Protect(name="an_entry_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.name or f"party {self.key}"


class StagedFile(models.Model):
    """A list's new content, from a file without faults. A second person must approve the file before the file's lines
    become the list's content."""

    party_list = models.ForeignKey(PartyList, on_delete=models.CASCADE, related_name="staged_files")
    file_name = models.CharField(max_length=128)
    sha256 = models.CharField(max_length=64)
    staged_at = models.DateTimeField(db_default=Now())
    staged_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return self.file_name


class StagedLine(models.Model):
    """One line of a staged file."""

    staged_file = models.ForeignKey(StagedFile, on_delete=models.CASCADE, related_name="lines")
    key = models.BigIntegerField(null=True)
    name = models.CharField(max_length=256, blank=True)
    folded = models.CharField(max_length=1024, blank=True)
    reference = models.CharField(max_length=128, blank=True)

    def __str__(self) -> str:
        return f"{self.staged_file} {self.pk}"


class SeenName(models.Model):
    """The keyed hash of a party's name. The screening of this name included the changes of the listed names up to a
    certain change. The row also has the number of this change."""

    hash = models.BigIntegerField(primary_key=True)
    sealed = models.TextField()  # the folded name, encrypted
    screened_for = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["screened_for", "hash"], name="names_to_be_screened")]

    def __str__(self) -> str:
        return f"name {self.hash}"


class NamedParty(models.Model):
    """A party and the DFSP that serves the party, with the latest name that this DFSP sent.

    The key is a hash of party and DFSP together: see `rules.lists.dfsp_corridor_and_name_keys.served`.
    """

    key = models.BigIntegerField(primary_key=True)
    party = models.BigIntegerField()
    dfsp = models.CharField(max_length=30)
    name = models.ForeignKey(SeenName, on_delete=models.PROTECT, related_name="parties")
    seen_at = models.DateTimeField(db_default=Now())  # to the day

    class Meta:
        verbose_name_plural = "named parties"
        indexes = [models.Index(fields=["seen_at"], name="named_parties_by_time")]  # for the deletion of old rows

    def __str__(self) -> str:
        return f"party {self.key}"


class NameMatch(models.Model):
    """A party whose name is similar to a listed name. The rules treat the party as listed until two people clear the
    match. A match is about one name: if the party later has another similar name, this name has a match of its own."""

    key = models.BigIntegerField()  # the same key as in NamedParty
    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="matches")
    name = models.ForeignKey(SeenName, on_delete=models.PROTECT, related_name="matches")
    score = models.PositiveSmallIntegerField()
    found_at = models.DateTimeField(db_default=Now())
    change = models.BigIntegerField()
    cleared_at = models.DateTimeField(null=True)
    cleared_by = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "name matches"
        constraints = [
            # A DFSP can give the party's identifier to another customer. So people clear the match of one name, and
            # another name of the same party can match the same entry.
            models.UniqueConstraint(
                fields=["key", "entry", "name"], name="a_name_of_a_party_matches_a_listed_name_once"
            ),
            models.CheckConstraint(
                condition=Q(cleared_at__isnull=True, cleared_by="") | (Q(cleared_at__isnull=False) & ~Q(cleared_by="")),
                name="a_cleared_match_has_its_time_and_people",
            ),
        ]
        indexes = [models.Index(fields=["change"], name="name_matches_by_change")]
        triggers = [
            needs_approval(
                "a_name_match_is_cleared_by_two_people",
                kind="clear_name_match",
                subject="'name match ' || NEW.id",
                operation=pgtrigger.Update,
                condition="OLD.cleared_at IS NULL AND NEW.cleared_at IS NOT NULL",
            ),
            pgtrigger.Protect(name="a_name_match_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"party {self.key}: {self.entry}"


class KillSwitch(models.Model):
    """While a kill switch is on, it stops all payments of one of three kinds: from or to one alias, from or to one
    DFSP, or from one DFSP to another DFSP."""

    class Kind(models.TextChoices):
        ALIAS = "ALIAS"
        DFSP = "DFSP"
        CORRIDOR = "CORRIDOR"

    kind = models.CharField(max_length=8, choices=Kind)
    key = models.BigIntegerField()  # the party's key, or a hash of the DFSPs: `rules.lists.dfsp_corridor_and_name_keys`
    payer_dfsp = models.CharField(max_length=30, blank=True)  # for the kind DFSP, the DFSP whose payments are stopped
    payee_dfsp = models.CharField(max_length=30, blank=True)
    reason = models.CharField(max_length=512)
    on_at = models.DateTimeField(db_default=Now())
    on_by = models.CharField(max_length=300)
    off_at = models.DateTimeField(null=True)
    off_by = models.CharField(max_length=300, blank=True)
    change = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "kill switches"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(off_at__isnull=True), name="a_kill_switch_is_on_once"),
            models.CheckConstraint(
                condition=Q(kind="ALIAS", payer_dfsp="", payee_dfsp="")
                | (Q(kind="DFSP", payee_dfsp="") & ~Q(payer_dfsp=""))
                | (Q(kind="CORRIDOR") & ~Q(payer_dfsp="") & ~Q(payee_dfsp="")),
                name="a_kill_switch_names_what_it_stops",
            ),
            models.CheckConstraint(
                condition=Q(off_at__isnull=True, off_by="") | (Q(off_at__isnull=False) & ~Q(off_by="")),
                name="a_kill_switch_that_is_off_has_its_time_and_people",
            ),
        ]
        indexes = [
            # with this index, the hub reads the kill switches that are on, page by page or by key
            models.Index(fields=["key", "id"], condition=Q(off_at__isnull=True), name="kill_switches_on"),
            models.Index(fields=["change"], name="kill_switches_by_change"),
        ]
        triggers = [
            needs_approval(
                "a_kill_switch_is_changed_by_two_people",
                kind="kill_switch",
                subject="'kill switch ' || NEW.key",
                operation=pgtrigger.Insert | pgtrigger.Update,
            ),
            pgtrigger.Protect(
                name="a_kill_switch_ends_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.off_at IS NOT NULL OR NEW.off_at IS NULL"),
            ),
            pgtrigger.Protect(name="a_kill_switch_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.payer_dfsp} {self.payee_dfsp}".strip()
