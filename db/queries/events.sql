-- EventHead returns the sequence of the newest event.
-- name: EventHead :one
SELECT last_sequence FROM event_head;

-- EventHeadAdvance makes the events of the transaction the newest.
-- name: EventHeadAdvance :exec
UPDATE event_head
SET last_sequence = @last_sequence, last_ingest_time = @last_ingest_time;

-- EventHeadLock keeps everybody else from appending events until the transaction ends.
-- name: EventHeadLock :one
SELECT last_sequence, last_ingest_time FROM event_head FOR UPDATE;

-- EventInvocations returns those of the ids that have an event.
-- name: EventInvocations :many
SELECT invocation_id FROM events WHERE invocation_id = ANY(@ids::uuid[]);

-- EventTime returns the time at which the statement runs, not the transaction's begin.
-- name: EventTime :one
SELECT clock_timestamp()::timestamptz AS now;

-- OpenInvocations returns those of the ids that are open.
-- name: OpenInvocations :many
SELECT invocation_id FROM open_invocations WHERE invocation_id = ANY(@ids::uuid[]);

-- OpenInvocationInsert keeps openings until they are closed. One whose id is open
-- already stays as it was.
-- name: OpenInvocationInsert :execrows
INSERT INTO open_invocations (invocation_id, replica_uid, replica_epoch, opened_number, opened_entry)
SELECT unnest(@invocation_ids::uuid[]), @replica_uid, unnest(@replica_epochs::bigint[]), unnest(@opened_numbers::bigint[]),
    unnest(@opened_entries::bytea[])
ON CONFLICT (invocation_id) DO NOTHING;

-- OpenInvocationTake returns the openings of calls that have ended, which are open no longer.
-- name: OpenInvocationTake :many
DELETE FROM open_invocations
WHERE invocation_id = ANY(@ids::uuid[]) AND replica_uid = @replica_uid
RETURNING *;

-- OpenInvocationTakeAbandoned returns openings of replicas that gave no sign of life for
-- some time.
-- name: OpenInvocationTakeAbandoned :many
DELETE FROM open_invocations
WHERE invocation_id IN (
    SELECT o.invocation_id
    FROM open_invocations AS o
    JOIN replicas AS r ON r.replica_uid = o.replica_uid
    WHERE r.replica_uid <> @replica_uid
        AND r.heartbeat_time < clock_timestamp() - make_interval(secs => @age_seconds::float8)
    ORDER BY o.replica_uid, o.opened_number
    LIMIT @max_rows
)
RETURNING *;

-- OpenInvocationTakeThrough returns the openings of a replica up to a number.
-- name: OpenInvocationTakeThrough :many
DELETE FROM open_invocations
WHERE invocation_id IN (
    SELECT o.invocation_id
    FROM open_invocations AS o
    WHERE o.replica_uid = @replica_uid AND o.opened_number <= @through
    ORDER BY o.opened_number
    LIMIT @max_rows
)
RETURNING *;

-- ReplicaAdvance says that the entries up to a number are in the database.
-- name: ReplicaAdvance :exec
UPDATE replicas
SET shipped_through = @shipped_through, heartbeat_time = clock_timestamp()
WHERE replica_uid = @replica_uid;

-- ReplicaHeartbeat is a sign of life. No row means that another process took over.
-- name: ReplicaHeartbeat :execrows
UPDATE replicas
SET served_revision = @served_revision, heartbeat_time = clock_timestamp()
WHERE replica_uid = @replica_uid AND instance_id = @instance_id;

-- ReplicaList returns the replicas that may serve calls: those that have not said that
-- they stopped, and that gave a sign of life not longer ago than given, or ever.
-- name: ReplicaList :many
SELECT replica_uid, served_revision, heartbeat_time,
    extract(epoch FROM clock_timestamp() - heartbeat_time)::float8 AS silent_seconds
FROM replicas
WHERE stop_time IS NULL
    AND (sqlc.narg(age_seconds)::float8 IS NULL
        OR heartbeat_time >= clock_timestamp() - make_interval(secs => sqlc.narg(age_seconds)::float8))
ORDER BY heartbeat_time DESC, replica_uid;

-- ReplicaLock returns how far the replica's entries are in the database, and keeps that
-- from changing until the transaction ends.
-- name: ReplicaLock :one
SELECT shipped_through, instance_id FROM replicas WHERE replica_uid = @replica_uid FOR UPDATE;

-- ReplicaRegister makes a process the one that ships for a replica. An older copy of a
-- data directory has a lower epoch than the database knows; the epoch never goes back.
-- name: ReplicaRegister :one
INSERT INTO replicas (replica_uid, replica_epoch, instance_id)
VALUES (@replica_uid, @replica_epoch, @instance_id)
ON CONFLICT (replica_uid) DO UPDATE
SET replica_epoch = GREATEST(replicas.replica_epoch, excluded.replica_epoch),
    instance_id = excluded.instance_id,
    heartbeat_time = clock_timestamp(),
    stop_time = NULL
RETURNING shipped_through;

-- ReplicaStop says that the replica serves no calls any more.
-- name: ReplicaStop :exec
UPDATE replicas
SET stop_time = clock_timestamp()
WHERE replica_uid = @replica_uid AND instance_id = @instance_id;

-- UnreadableEntryInsert keeps an entry that made no event.
-- name: UnreadableEntryInsert :exec
INSERT INTO unreadable_entries (replica_uid, replica_epoch, entry_number, entry, fault)
VALUES (@replica_uid, @replica_epoch, @entry_number, @entry, @fault)
ON CONFLICT (replica_uid, entry_number) DO NOTHING;
