-- Calls that were ended because their callers lost the right to them.

-- +goose Up
ALTER TABLE events
    DROP CONSTRAINT events_outcome,
    ADD CONSTRAINT events_outcome CHECK (outcome IN (
        'SUCCEEDED', 'FAILED', 'REFUSED', 'UNAVAILABLE', 'TIMED_OUT', 'CALLER_LEFT', 'INTERRUPTED', 'SUMMARY', 'REVOKED'
    ));

-- +goose Down
UPDATE events SET outcome = 'INTERRUPTED' WHERE outcome = 'REVOKED';
ALTER TABLE events
    DROP CONSTRAINT events_outcome,
    ADD CONSTRAINT events_outcome CHECK (outcome IN (
        'SUCCEEDED', 'FAILED', 'REFUSED', 'UNAVAILABLE', 'TIMED_OUT', 'CALLER_LEFT', 'INTERRUPTED', 'SUMMARY'
    ));
