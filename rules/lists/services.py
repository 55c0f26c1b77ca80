"""Creates lists, and changes the content of a list: a file replaces the whole content, or a request adds or removes one
entry.

Commands call this module. Changes with the approval of two people also call this module. Each change of content creates
a version of the list.
"""

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from hub.audit import record
from hub.sql_execution import execute
from rules.change_refused import NotChanged
from rules.lists import change_numbers, party_files
from rules.lists.models import Entry, ListVersion, PartyList, StagedFile
from rules.lists.party_files import Line
from rules.refreshed_name_sets import MOST_KEYS

MOST_NAMES = 100_000
"""The largest number of names on all lists together. If a process screens names, the process keeps all listed names in
memory.
"""
# If PostgreSQL computed its statistics about the tables before the import, PostgreSQL can choose nested loops, which
# take hours for 200,000 lines.
_LONG_STATEMENTS = "SET LOCAL statement_timeout = '60s'; SET LOCAL enable_nestloop = off"
_USUAL_STATEMENTS = "SET LOCAL enable_nestloop = on"


@transaction.atomic
def create(*, name: str, kind: str, title: str = "", least_score: int = 88, actor: str) -> PartyList:
    """Creates an empty list. Raises NotChanged if the name is already used, or if a value is not valid."""
    if kind not in PartyList.Kind.values:
        raise NotChanged(f"kind must be one of {', '.join(PartyList.Kind.values)}")
    if not 70 <= least_score <= 100:
        raise NotChanged("the score of similar names must be from 70 to 100")
    if not _is_name(name):
        raise NotChanged(
            _("A list's name can have only small letters, digits and hyphens. The name kill-switch is reserved.")
        )
    made, is_new = PartyList.objects.get_or_create(
        name=name, defaults={"kind": kind, "title": title[:128], "least_score": least_score}
    )
    if not is_new:
        raise NotChanged(_("There is already a list with this name."))
    record("list_made", subject=f"list {name}", actor=actor, after={"kind": kind, "least_score": least_score})
    return made


def _is_name(name: str) -> bool:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    return 0 < len(name) <= 48 and set(name) <= allowed and not name.startswith("-") and name != "kill-switch"


@transaction.atomic
def stage(list_name: str, *, file_name: str, raw: bytes, actor: str) -> StagedFile:
    """Reads a file, and stores the lines of the file. After two people have approved the file, these lines become the
    list's content.

    If the file has faults, stores nothing and raises `party_files.BadFile`, which lists the bad lines. Raises
    NotChanged if the list does not exist.
    """
    read = party_files.read(raw)
    found = PartyList.objects.filter(name=list_name).first()
    if found is None:
        raise NotChanged(_("There is no list with this name."))
    staged = StagedFile.objects.create(
        party_list=found, file_name=file_name[-128:], sha256=read.sha256, staged_by=actor[:150]
    )
    _insert_lines(staged.pk, read.lines)
    return staged


_INSERT_LINES = """
    INSERT INTO rules_lists_stagedline (staged_file_id, key, name, folded, reference)
    SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])
"""


def _insert_lines(staged_file_id: int, lines: list[Line]) -> None:
    execute(
        _INSERT_LINES,
        [
            staged_file_id,
            [line.key for line in lines],
            [line.name for line in lines],
            [line.folded for line in lines],
            [line.reference for line in lines],
        ],
    )


_REMOVE = """
    UPDATE rules_lists_entry e SET removed_by_id = %(version)s
    WHERE e.party_list_id = %(list)s AND e.removed_by_id IS NULL
      AND NOT EXISTS (SELECT FROM rules_lists_stagedline s WHERE s.staged_file_id = %(file)s AND s.key = e.key)
      AND NOT EXISTS (SELECT FROM rules_lists_stagedline s WHERE s.staged_file_id = %(file)s AND s.key IS NULL
                        AND s.folded = e.folded AND s.reference = e.reference)
"""
_ADD = """
    INSERT INTO rules_lists_entry (party_list_id, key, name, folded, reference, added_by_id)
    SELECT %(list)s, s.key, s.name, s.folded, s.reference, %(version)s
    FROM rules_lists_stagedline s WHERE s.staged_file_id = %(file)s
    ON CONFLICT DO NOTHING
"""


def discard(staged_file_id: int, *, sha256: str) -> None:
    """Deletes a staged file and its lines. After this, nobody can approve the file."""
    StagedFile.objects.filter(pk=staged_file_id, sha256=sha256).delete()


@transaction.atomic
def activate(staged_file_id: int, *, sha256: str, actor: str) -> ListVersion:
    """Replaces the whole content of a list by the lines of a staged file. Removes the entries that are not in the
    file."""
    staged = StagedFile.objects.select_for_update(of=("self",)).filter(pk=staged_file_id, sha256=sha256).first()
    if staged is None:
        raise NotChanged(_("This file no longer waits for approval. Import the file again."))
    version = _begin(staged.party_list_id, actor=actor, file_name=staged.file_name, sha256=sha256)
    values = {"version": version.pk, "list": version.party_list_id, "file": staged.pk}
    with connection.cursor() as cursor:
        cursor.execute(_LONG_STATEMENTS)
        cursor.execute(_REMOVE, values)
        removed = cursor.rowcount
        cursor.execute(_ADD, values)
        added = cursor.rowcount
        cursor.execute(_USUAL_STATEMENTS)
    staged.delete()
    has_names = Entry.objects.filter(Q(added_by=version) | Q(removed_by=version), key__isnull=True).exists()
    return _finish(version, added=added, removed=removed, has_names=has_names, actor=actor)


@transaction.atomic
def add_entry(list_name: str, line: Line, *, actor: str) -> ListVersion:
    """Adds one entry. Raises NotChanged if the list already has this entry."""
    version = _begin(_id_of(list_name), actor=actor)
    earlier = _live(version.party_list_id, line).select_related("added_by").first()
    if earlier is not None:
        raise NotChanged(
            _("The list already has this entry (since version %(version)s).") % {"version": earlier.added_by.number}
        )
    Entry.objects.create(
        party_list_id=version.party_list_id,
        key=line.key,
        name=line.name,
        folded=line.folded,
        reference=line.reference,
        added_by=version,
    )
    return _finish(version, added=1, removed=0, has_names=line.key is None, actor=actor)


@transaction.atomic
def remove_entry(list_name: str, line: Line, *, actor: str) -> ListVersion:
    """Removes one entry. Raises NotChanged if the list does not have this entry."""
    version = _begin(_id_of(list_name), actor=actor)
    if _live(version.party_list_id, line).update(removed_by=version) == 0:
        raise NotChanged(_("The list does not have this entry."))
    return _finish(version, added=0, removed=1, has_names=line.key is None, actor=actor)


def _live(list_id: int, line: Line) -> "QuerySet[Entry]":
    found = Entry.objects.filter(party_list_id=list_id, removed_by=None)
    if line.key is not None:
        return found.filter(key=line.key)
    return found.filter(key=None, folded=line.folded, reference=line.reference)


def _id_of(list_name: str) -> int:
    found = PartyList.objects.filter(name=list_name).values_list("pk", flat=True).first()
    if found is None:
        raise NotChanged(_("There is no list with this name."))
    return found


def _begin(list_id: int, *, actor: str, file_name: str = "", sha256: str = "") -> ListVersion:
    """Locks the list, and creates its next version."""
    party_list = PartyList.objects.select_for_update(no_key=True).get(pk=list_id)
    party_list.version += 1
    party_list.save(update_fields=["version"])
    return ListVersion.objects.create(
        party_list=party_list,
        number=party_list.version,
        made_by=actor,
        file_name=file_name,
        sha256=sha256,
        added=0,
        removed=0,
    )


def _finish(version: ListVersion, *, added: int, removed: int, has_names: bool, actor: str) -> ListVersion:
    """Checks that all lists together are not too long.

    Gives the change its number in the last step, because the lock for this number lasts until the database transaction
    ends.
    """
    _check_lengths()
    version.added, version.removed = added, removed
    record(
        "list_changed",
        subject=f"list {version.party_list.name}",
        actor=actor,
        after={"version": version.number, "added": added, "removed": removed, "sha256": version.sha256},
    )
    version.change = change_numbers.count(change_numbers.LISTS)
    version.save(update_fields=["added", "removed", "change"])
    if has_names:
        change_numbers.repeat(change_numbers.NAMES, version.change)
    return version


_LENGTHS = """
    SELECT count(key), count(*) FILTER (WHERE key IS NULL) FROM rules_lists_entry WHERE removed_by_id IS NULL
"""


def _check_lengths() -> None:
    row = execute(_LENGTHS).fetchone()
    assert row is not None
    if row[0] > MOST_KEYS:
        raise NotChanged(_("All lists together can have at most %(most)s parties.") % {"most": MOST_KEYS})
    if row[1] > MOST_NAMES:
        raise NotChanged(_("All lists together can have at most %(most)s names.") % {"most": MOST_NAMES})
