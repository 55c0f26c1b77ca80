"""The tables of the connector's state, and their upgrades. The tables are the same in SQLite and in PostgreSQL.

Each record is stored as JSON. The other columns repeat the values that SQL statements need to select records. Each new
version of the tables is a new entry of UPGRADES. An entry only adds columns or tables, so that the connector's previous
version can still use the tables.
"""

import re

UPGRADES = (
    # 1
    """
CREATE TABLE IF NOT EXISTS payment (         -- outgoing payments
    home_id     TEXT PRIMARY KEY,           -- the core's own id: one payment for ever
    transfer_id TEXT NOT NULL UNIQUE,
    quote_id    TEXT NOT NULL UNIQUE,
    digest      BLOB NOT NULL,              -- unused: the record holds the core's whole request
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,              -- kitovu_connector.payment_states.Payment
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payment_unfinished ON payment (home_id) WHERE is_open = 1;   -- read at start
CREATE INDEX IF NOT EXISTS payment_by_change ON payment (changed_at);                   -- lists
CREATE INDEX IF NOT EXISTS payment_by_state ON payment (state, changed_at);             -- lists, counts

CREATE TABLE IF NOT EXISTS quote (           -- terms given
    quote_id    TEXT PRIMARY KEY,
    digest      BLOB NOT NULL,
    condition   TEXT UNIQUE,                -- by which an incoming transfer finds its terms
    is_open     INTEGER NOT NULL,           -- the hub has not taken our answer yet
    record      BLOB NOT NULL,              -- kitovu_connector.payment_and_quote_records.QuoteGiven
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quote_unfinished ON quote (quote_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS quote_by_age ON quote (changed_at) WHERE is_open = 0;        -- old ones are deleted

CREATE TABLE IF NOT EXISTS incoming (        -- incoming transfers
    transfer_id TEXT PRIMARY KEY,
    digest      BLOB NOT NULL,
    quote_id    TEXT UNIQUE,                -- terms pay once
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,              -- kitovu_connector.payment_and_quote_records.Incoming
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incoming_unfinished ON incoming (transfer_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS incoming_by_change ON incoming (changed_at);
CREATE INDEX IF NOT EXISTS incoming_by_state ON incoming (state);

CREATE TABLE IF NOT EXISTS exchange (        -- requests to pay, bulks and conversions: kitovu_connector.record_store
    kind        TEXT NOT NULL,
    id          TEXT NOT NULL,
    alias       TEXT,                       -- another id of the same record: the core's own, or a condition
    digest      BLOB NOT NULL,
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,
    changed_at  REAL NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exchange_unfinished ON exchange (kind, id) WHERE is_open = 1;
""",
    # 2: several instances of the connector share one database
    """
ALTER TABLE payment ADD COLUMN owner TEXT NOT NULL DEFAULT '';      -- the instance that continues the record
ALTER TABLE payment ADD COLUMN version INTEGER NOT NULL DEFAULT 0;  -- a step is stored only on the version before it
ALTER TABLE quote ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE incoming ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE exchange ADD COLUMN owner TEXT NOT NULL DEFAULT '';
""",
    # 3: indexes for the list of conversions, for the deletion of old records, and for waiting events
    """
CREATE INDEX IF NOT EXISTS exchange_by_change ON exchange (kind, changed_at);
CREATE INDEX IF NOT EXISTS exchange_waiting ON exchange (kind, changed_at, id) WHERE is_open = 1;
""",
    # 4: indexes for the waiting events of one instance, and for old records that have ended
    """
DROP INDEX IF EXISTS exchange_waiting;
CREATE INDEX IF NOT EXISTS exchange_due ON exchange (kind, owner, changed_at, id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS exchange_ended ON exchange (kind, changed_at) WHERE is_open = 0;
""",
    # 5: indexes for the open records of one owner, and for the owners of open records
    """
DROP INDEX IF EXISTS payment_unfinished;
DROP INDEX IF EXISTS quote_unfinished;
DROP INDEX IF EXISTS incoming_unfinished;
DROP INDEX IF EXISTS exchange_unfinished;
CREATE INDEX IF NOT EXISTS payment_due ON payment (owner, home_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS quote_due ON quote (owner, quote_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS incoming_due ON incoming (owner, transfer_id) WHERE is_open = 1;
""",
    # 6: the size of the stored requests of each DFSP; triggers add and subtract the sizes
    """
ALTER TABLE exchange ADD COLUMN sender TEXT;                        -- only in records whose size is counted
ALTER TABLE exchange ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
CREATE TABLE IF NOT EXISTS stored_octets (
    sender      TEXT PRIMARY KEY,           -- a DFSP
    octets      REAL NOT NULL               -- the sum of all its records
) STRICT, WITHOUT ROWID;
""",
    # 7: also the size of the stored requests for the terms of single payments; the sender is then "DFSP/quotes"
    """
ALTER TABLE quote ADD COLUMN sender TEXT;                           -- only in quotes whose size is counted
ALTER TABLE quote ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
""",
)

OPEN_TABLES = {"payment": "home_id", "quote": "quote_id", "incoming": "transfer_id", "exchange": "id"}
"""The tables whose open records have an owner, each table with the name of its key column. A record of `exchange` also
has a kind.
"""

# A record that has ended stays ended, even if the program has a fault.
SQLITE_ONLY = """
CREATE TRIGGER IF NOT EXISTS exchange_end_is_final BEFORE UPDATE ON exchange
    WHEN OLD.is_open = 0 AND NEW.state <> OLD.state BEGIN SELECT RAISE(ABORT, 'the exchange has ended'); END;
CREATE TRIGGER IF NOT EXISTS payment_end_is_final BEFORE UPDATE ON payment
    WHEN OLD.is_open = 0 AND NEW.state <> OLD.state BEGIN SELECT RAISE(ABORT, 'the payment has ended'); END;
CREATE TRIGGER IF NOT EXISTS incoming_end_is_final BEFORE UPDATE ON incoming
    WHEN OLD.state IN ('COMMITTED', 'ABORTED') AND NEW.state <> OLD.state
    BEGIN SELECT RAISE(ABORT, 'the transfer has ended'); END;
CREATE TRIGGER IF NOT EXISTS octets_are_added AFTER INSERT ON exchange WHEN NEW.sender IS NOT NULL BEGIN
    INSERT INTO stored_octets SELECT NEW.sender, 0
        WHERE NOT EXISTS (SELECT 1 FROM stored_octets WHERE sender = NEW.sender);
    UPDATE stored_octets SET octets = octets + NEW.octets WHERE sender = NEW.sender;
END;
CREATE TRIGGER IF NOT EXISTS octets_are_subtracted AFTER DELETE ON exchange WHEN OLD.sender IS NOT NULL BEGIN
    UPDATE stored_octets SET octets = octets - OLD.octets WHERE sender = OLD.sender;
END;
CREATE TRIGGER IF NOT EXISTS octets_of_quotes_are_added AFTER INSERT ON quote WHEN NEW.sender IS NOT NULL BEGIN
    INSERT INTO stored_octets SELECT NEW.sender, 0
        WHERE NOT EXISTS (SELECT 1 FROM stored_octets WHERE sender = NEW.sender);
    UPDATE stored_octets SET octets = octets + NEW.octets WHERE sender = NEW.sender;
END;
CREATE TRIGGER IF NOT EXISTS octets_of_quotes_are_subtracted AFTER DELETE ON quote WHEN OLD.sender IS NOT NULL BEGIN
    UPDATE stored_octets SET octets = octets - OLD.octets WHERE sender = OLD.sender;
END;
"""

POSTGRESQL_ONLY = """
CREATE OR REPLACE FUNCTION seconds_now() RETURNS double precision LANGUAGE sql VOLATILE
    AS 'SELECT extract(epoch FROM clock_timestamp())::double precision';

CREATE TABLE IF NOT EXISTS instance (        -- the running instances of the connector
    id          TEXT PRIMARY KEY,
    lease_until REAL NOT NULL               -- by the database's clock; after it the others take over the open records
);
ALTER TABLE instance ADD COLUMN IF NOT EXISTS tells_events INTEGER NOT NULL DEFAULT 0;  -- sends events to the core
CREATE TABLE IF NOT EXISTS relayed (         -- callbacks for which another instance may wait; kept for a minute
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender      TEXT NOT NULL,
    message     BLOB NOT NULL,              -- kitovu_connector.relay.Relayed
    changed_at  REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS relayed_by_age ON relayed (changed_at);
CREATE TABLE IF NOT EXISTS setting (         -- what all instances must have in common
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
);

CREATE OR REPLACE FUNCTION end_is_final() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''the record has ended''; END';
CREATE OR REPLACE TRIGGER exchange_end_is_final BEFORE UPDATE ON exchange FOR EACH ROW
    WHEN (OLD.is_open = 0 AND NEW.state <> OLD.state) EXECUTE FUNCTION end_is_final();
CREATE OR REPLACE TRIGGER payment_end_is_final BEFORE UPDATE ON payment FOR EACH ROW
    WHEN (OLD.is_open = 0 AND NEW.state <> OLD.state) EXECUTE FUNCTION end_is_final();
CREATE OR REPLACE TRIGGER incoming_end_is_final BEFORE UPDATE ON incoming FOR EACH ROW
    WHEN (OLD.state IN ('COMMITTED', 'ABORTED') AND NEW.state <> OLD.state) EXECUTE FUNCTION end_is_final();

CREATE OR REPLACE FUNCTION add_octets() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
    INSERT INTO stored_octets VALUES (NEW.sender, 0) ON CONFLICT DO NOTHING;
    UPDATE stored_octets SET octets = octets + NEW.octets WHERE sender = NEW.sender;
    RETURN NULL;
END';
CREATE OR REPLACE FUNCTION subtract_octets() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
    UPDATE stored_octets SET octets = octets - OLD.octets WHERE sender = OLD.sender;
    RETURN NULL;
END';
CREATE OR REPLACE TRIGGER octets_are_added AFTER INSERT ON exchange FOR EACH ROW
    WHEN (NEW.sender IS NOT NULL) EXECUTE FUNCTION add_octets();
CREATE OR REPLACE TRIGGER octets_are_subtracted AFTER DELETE ON exchange FOR EACH ROW
    WHEN (OLD.sender IS NOT NULL) EXECUTE FUNCTION subtract_octets();
CREATE OR REPLACE TRIGGER octets_of_quotes_are_added AFTER INSERT ON quote FOR EACH ROW
    WHEN (NEW.sender IS NOT NULL) EXECUTE FUNCTION add_octets();
CREATE OR REPLACE TRIGGER octets_of_quotes_are_subtracted AFTER DELETE ON quote FOR EACH ROW
    WHEN (OLD.sender IS NOT NULL) EXECUTE FUNCTION subtract_octets();
"""

_IN_POSTGRESQL = {
    r"\) STRICT, WITHOUT ROWID;": ");",
    r"\bBLOB\b": "BYTEA",
    r"\bREAL\b": "DOUBLE PRECISION",
    # with this collation, PostgreSQL sorts text in the same order as SQLite and Python
    r"\bTEXT\b": 'TEXT COLLATE "C"',
}


def in_postgresql(schema: str) -> str:
    """Returns the statements that create the same tables in PostgreSQL."""
    for word, other in _IN_POSTGRESQL.items():
        schema = re.sub(word, other, schema)
    return schema
