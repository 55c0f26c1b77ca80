"""A trigger for changes that need two people.

The database transaction that makes the change must also contain the approval: see `hub.audit.approvals`.
"""

import pgtrigger


def needs_approval(
    name: str, *, kind: str, subject: str, operation: pgtrigger.Operation, condition: str = ""
) -> pgtrigger.Trigger:
    """Returns the trigger. `subject` is an SQL expression that computes the subject of the approved request from the
    columns of NEW."""
    return pgtrigger.Trigger(
        name=name,
        operation=operation,
        when=pgtrigger.After,
        timing=pgtrigger.Deferred,
        condition=pgtrigger.Condition(condition) if condition else None,
        # The database transaction itself sets decided_at of the approval. So decided_at is not before the beginning of
        # this transaction.
        func=f"""
            IF NOT EXISTS (SELECT FROM audit_approval a
                           WHERE a.kind = '{kind}' AND a.subject = {subject} AND a.state = 'APPROVED'
                             AND a.decided_at >= now()) THEN
                RAISE EXCEPTION '{kind} was not approved: %', {subject} USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        """,
    )
