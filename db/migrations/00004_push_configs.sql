-- Push configs that agents were given on behalf of callers, so that they can be taken
-- back when a caller loses its rights.

-- +goose Up
CREATE TABLE push_configs (
    agent_uid uuid NOT NULL,
    task_id text NOT NULL,
    -- Empty when the agent made an id that it did not tell.
    config_id text NOT NULL,
    owner_uid uuid NOT NULL,
    -- The version of the protocol that the agent was spoken to in, "1.0" or "0.3".
    protocol_version text NOT NULL,
    endpoint_url text NOT NULL,
    -- When it was last set at the agent; kept for 30 days from then.
    create_time timestamptz NOT NULL,
    -- How often its deletion was begun, and when it may be begun again.
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT push_configs_pkey PRIMARY KEY (agent_uid, task_id, config_id)
);
CREATE INDEX push_configs_owner ON push_configs (owner_uid, next_attempt_time);
CREATE INDEX push_configs_created ON push_configs (create_time);
CREATE INDEX push_configs_attempted ON push_configs (owner_uid) WHERE attempts > 0;

-- +goose Down
DROP TABLE push_configs;
