-- Ownership: which caller a task or context of an agent belongs to, and which
-- instance of the agent knows it.

-- +goose Up
CREATE TABLE task_bindings (
    agent_uid uuid NOT NULL,
    task_id text NOT NULL,
    owner_uid uuid NOT NULL,
    context_id text NOT NULL,
    endpoint_url text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    -- When a terminal state was first seen; the binding is kept for 30 days from then.
    terminal_time timestamptz,
    CONSTRAINT task_bindings_pkey PRIMARY KEY (agent_uid, task_id)
);
CREATE INDEX task_bindings_owner ON task_bindings (agent_uid, owner_uid, create_time);
CREATE INDEX task_bindings_terminal ON task_bindings (terminal_time) WHERE terminal_time IS NOT NULL;

CREATE TABLE context_bindings (
    agent_uid uuid NOT NULL,
    context_id text NOT NULL,
    owner_uid uuid NOT NULL,
    endpoint_url text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    -- Kept for 90 days from here.
    last_used_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT context_bindings_pkey PRIMARY KEY (agent_uid, context_id)
);
CREATE INDEX context_bindings_used ON context_bindings (last_used_time);

-- +goose Down
DROP TABLE context_bindings;
DROP TABLE task_bindings;
