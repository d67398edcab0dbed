-- Calls of the management plane are events, too.

-- +goose Up
ALTER TABLE events
    ADD COLUMN plane text NOT NULL DEFAULT 'DATA',
    -- What a management call was about; empty for the data plane.
    ADD COLUMN resource text NOT NULL DEFAULT '',
    ADD CONSTRAINT events_plane CHECK (plane IN ('DATA', 'MANAGEMENT'));
-- They are few among the calls of agents, which these indexes cost nothing.
CREATE INDEX events_management ON events (event_sequence) WHERE plane = 'MANAGEMENT';
CREATE INDEX events_resource ON events (resource, event_sequence) WHERE resource <> '';

-- +goose Down
DROP INDEX events_resource;
DROP INDEX events_management;
ALTER TABLE events DROP COLUMN resource, DROP COLUMN plane;
