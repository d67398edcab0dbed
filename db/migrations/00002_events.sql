-- The record: events as they are shipped from the replicas' spools.

-- +goose Up
CREATE TABLE replicas (
    replica_uid uuid NOT NULL,
    replica_epoch bigint NOT NULL,
    -- Random id of the process that ships; another one that has a copy of the data
    -- directory would number other entries alike.
    instance_id uuid NOT NULL,
    -- Number of the last spool entry that is in this database.
    shipped_through bigint NOT NULL DEFAULT 0,
    served_revision bigint NOT NULL DEFAULT 0,
    heartbeat_time timestamptz NOT NULL DEFAULT now(),
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT replicas_pkey PRIMARY KEY (replica_uid)
);

-- Locked by whoever appends events: the total order.
CREATE TABLE event_head (
    singleton boolean NOT NULL DEFAULT true,
    last_sequence bigint NOT NULL,
    -- Ingest times follow the sequence, whatever the clock does.
    last_ingest_time timestamptz NOT NULL,
    CONSTRAINT event_head_pkey PRIMARY KEY (singleton),
    CONSTRAINT event_head_one_row CHECK (singleton)
);
INSERT INTO event_head (last_sequence, last_ingest_time) VALUES (0, 'epoch');

-- Openings whose closing has not been shipped yet.
CREATE TABLE open_invocations (
    invocation_id uuid NOT NULL,
    replica_uid uuid NOT NULL,
    replica_epoch bigint NOT NULL,
    -- Number of the entry in the replica's spool.
    opened_number bigint NOT NULL,
    opened_entry bytea NOT NULL,
    CONSTRAINT open_invocations_pkey PRIMARY KEY (invocation_id)
);
CREATE INDEX open_invocations_replica ON open_invocations (replica_uid, opened_number);

-- Entries that could not be read, so made no event: a newer version wrote them, or
-- their disk lies. Kept for a person to look at.
CREATE TABLE unreadable_entries (
    replica_uid uuid NOT NULL,
    replica_epoch bigint NOT NULL,
    entry_number bigint NOT NULL,
    entry bytea NOT NULL,
    fault text NOT NULL,
    ingest_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unreadable_entries_pkey PRIMARY KEY (replica_uid, entry_number)
);

-- The entries are the bytes that the replica spooled. What they say stands in columns
-- as well where it is searched for, and can be derived from them again.
CREATE TABLE events (
    event_sequence bigint NOT NULL,
    ingest_time timestamptz NOT NULL,
    invocation_id uuid NOT NULL,
    event_time timestamptz NOT NULL,
    event_count bigint NOT NULL,
    outcome text NOT NULL,
    method text NOT NULL,
    agent text NOT NULL,
    agent_uid uuid,
    caller text NOT NULL,
    caller_uid uuid,
    team text NOT NULL,
    task_id text NOT NULL,
    context_id text NOT NULL,
    trace_id text NOT NULL,
    replica_uid uuid NOT NULL,
    replica_epoch bigint NOT NULL,
    opened_number bigint,
    closed_number bigint,
    -- The opening, the refusal or the summary; null when only a closing survived.
    opened_entry bytea,
    -- Null for refusals, summaries and interrupted calls.
    closed_entry bytea,
    -- A primary key has the partition's key in it. The sequence comes first, as lists
    -- are in its order.
    CONSTRAINT events_pkey PRIMARY KEY (event_sequence, ingest_time),
    CONSTRAINT events_outcome CHECK (outcome IN ('SUCCEEDED', 'FAILED', 'REFUSED', 'UNAVAILABLE', 'TIMED_OUT', 'CALLER_LEFT', 'INTERRUPTED', 'SUMMARY')),
    CONSTRAINT events_count CHECK (event_count > 0),
    CONSTRAINT events_entry CHECK (opened_entry IS NOT NULL OR closed_entry IS NOT NULL)
) PARTITION BY RANGE (ingest_time);
CREATE INDEX events_invocation ON events (invocation_id);
CREATE INDEX events_agent ON events (agent, event_sequence);
CREATE INDEX events_team ON events (team, event_sequence);
CREATE INDEX events_caller ON events (caller, event_sequence);
-- Calls come in the order of their times, nearly, and a btree costs each event dear.
-- Blocks that are not summarized would all be read, and a vacuum may be far away.
CREATE INDEX events_time ON events USING brin (event_time) WITH (autosummarize = on);

-- The gateway makes a partition for each month, as events_YYYYMM, ahead of time. A query
-- locks the partitions that it cannot rule out with all their indexes, and there is room
-- for some thousand locks, so they must stay few: days would be too many within a year.
-- This one catches what no other partition takes, so that a missing partition never loses an event.
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- +goose Down
DROP TABLE events;
DROP TABLE unreadable_entries;
DROP TABLE open_invocations;
DROP TABLE event_head;
DROP TABLE replicas;
