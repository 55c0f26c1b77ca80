"""For participants that are leaving, takes from the audit trail what they could do before.

Is a migration of its own, because 0009 locks the participants' table, and every payment reads that table. Begins at the
few participants that are leaving, and finds the entry of each in the index audit_by_subject.
"""

from django.db import migrations

BEFORE = """
    UPDATE participants_participant p
    SET could_send = (begun.before ->> 'maySend')::boolean, could_receive = (begun.before ->> 'mayReceive')::boolean
    FROM participants_participant l
    JOIN LATERAL (SELECT e.before FROM audit_entry e WHERE e.subject = l.name AND e.action = 'leaving_begun'
                  ORDER BY e.id DESC LIMIT 1) begun ON true
    WHERE p.id = l.id AND l.leaving_since IS NOT NULL AND l.closed_at IS NULL
      AND l.could_send IS NULL AND l.could_receive IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("participants", "0009_onboarding"), ("audit", "0001_initial")]

    operations = [migrations.RunSQL(BEFORE, migrations.RunSQL.noop)]
