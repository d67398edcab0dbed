-- Suspension of agents, reasons in the history, and replicas that stopped.

-- +goose Up
ALTER TABLE agents
    -- The state that a resume brings back; empty when the agent is not suspended.
    ADD COLUMN suspended_from text NOT NULL DEFAULT '',
    ADD COLUMN suspend_reason text NOT NULL DEFAULT '',
    ADD COLUMN suspend_time timestamptz;
-- Nothing but a hand could have set this state before, and all agents were APPROVED.
UPDATE agents SET suspended_from = 'APPROVED', suspend_time = update_time WHERE lifecycle_state = 'SUSPENDED';
ALTER TABLE agents ADD CONSTRAINT agents_suspended CHECK (
    CASE WHEN lifecycle_state = 'SUSPENDED'
        THEN suspended_from IN ('DRAFT', 'PENDING_APPROVAL', 'APPROVED', 'DEPRECATED') AND suspend_time IS NOT NULL
        ELSE suspended_from = '' AND suspend_reason = '' AND suspend_time IS NULL
    END
);

-- Why a change was made, as its author said.
ALTER TABLE config_changes ADD COLUMN reason text NOT NULL DEFAULT '';

-- When the replica stopped; null while it may serve calls.
ALTER TABLE replicas ADD COLUMN stop_time timestamptz;

-- +goose Down
ALTER TABLE replicas DROP COLUMN stop_time;
ALTER TABLE config_changes DROP COLUMN reason;
ALTER TABLE agents DROP COLUMN suspend_time, DROP COLUMN suspend_reason, DROP COLUMN suspended_from;
