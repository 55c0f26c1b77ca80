"""The SQL statements about forwarded GETs that wait for an answer. This module calls a forwarded GET a question."""

from hub import outbox
from hub.outbox.messages import Outgoing
from hub.sql_execution import execute

_REMEMBER = """
    INSERT INTO quotes_question (resource, subject, asker_id, asked_id, version, asked_at, answer_by)
    VALUES (%s, %s, %s, %s, %s, statement_timestamp(), statement_timestamp() + make_interval(secs => %s))
    ON CONFLICT ON CONSTRAINT one_question_waits_for_an_answer DO UPDATE
    SET version = excluded.version, asked_at = excluded.asked_at, answer_by = excluded.answer_by, ended_at = NULL,
        answers = 0
"""


def remember(question: Outgoing, *, resource: str, subject: str, version: str, wait_s: int) -> None:
    """In the caller's database transaction, stores a question that waits for an answer.

    If a question is repeated, the waiting time of the question begins again.

    The caller must add the question's message to the outbox after this call. If a message in the outbox is older than
    the question, the periodic task assumes that the message belongs to an earlier question.
    """
    parameters = [resource, subject, question.reply_to_id, question.destination_id, version, wait_s]
    execute(_REMEMBER, parameters)


# The hub forwards at most ten answers to one question. A sender repeats an answer fewer than ten times, and ten answers
# fit into the queue of messages to the requester.
_END = """
    UPDATE quotes_question SET ended_at = coalesce(ended_at, statement_timestamp()), answers = answers + 1
    WHERE subject = %s AND resource = %s AND asked_id = %s AND asker_id = %s AND answers < 10
      AND (ended_at IS NULL OR ended_at > statement_timestamp() - make_interval(secs => %s))
    RETURNING %s::text AS subject
"""


def answer(reply: Outgoing, *, resource: str, subject: str, asked_id: int, keep_s: int) -> bool:
    """Adds an answer to the outbox and ends the question, in one SQL statement. Returns False if there is no question
    for this answer.

    The hub accepts an answer only from the DFSP that received the question. The question must still wait for an answer,
    or must have ended in the last `keep_s` seconds.
    """
    parameters = [subject, resource, asked_id, reply.destination_id, keep_s, reply.subject]
    return bool(outbox.append_about(f"changed AS ({_END})", parameters, [reply]))


def end(*, resource: str, subject: str, asked_id: int, asker_id: int, keep_s: int) -> bool:
    """Ends a stored question in the caller's database transaction. Returns False if the question does not exist, or if
    the hub accepts no more answers to the question."""
    return execute(_END, [subject, resource, asked_id, asker_id, keep_s, subject]).rowcount > 0
