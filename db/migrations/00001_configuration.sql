-- Configuration: teams, keys, agents, and the one revision that replicas follow.

-- +goose Up
CREATE TABLE configuration_revision (
    singleton boolean NOT NULL DEFAULT true,
    revision bigint NOT NULL,
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT configuration_revision_pkey PRIMARY KEY (singleton),
    CONSTRAINT configuration_revision_one_row CHECK (singleton)
);
INSERT INTO configuration_revision (revision) VALUES (0);

-- One row for each revision: the writer holds the row above until it commits, so
-- revisions become visible without gaps and in order.
CREATE TABLE config_changes (
    revision bigint NOT NULL,
    resource_kind text NOT NULL,
    resource_uid uuid NOT NULL,
    resource_name text NOT NULL,
    verb text NOT NULL,
    author text NOT NULL,
    -- The resource before and after, without secrets and without the text of cards.
    before_state jsonb,
    after_state jsonb,
    change_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT config_changes_pkey PRIMARY KEY (revision),
    CONSTRAINT config_changes_kind CHECK (resource_kind IN ('team', 'key', 'agent', 'admin_key')),
    CONSTRAINT config_changes_verb CHECK (verb IN ('create', 'update', 'delete'))
);
CREATE INDEX config_changes_resource ON config_changes (resource_uid, revision);

CREATE TABLE teams (
    uid uuid NOT NULL,
    -- Names are ordered by their bytes, whatever the locale of the database.
    team_id text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT teams_pkey PRIMARY KEY (uid),
    CONSTRAINT teams_team_id_unique UNIQUE (team_id),
    CONSTRAINT teams_team_id_form CHECK (team_id ~ '^[a-z][a-z0-9-]{0,62}$')
);

CREATE TABLE keys (
    uid uuid NOT NULL,
    team_uid uuid NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    secret_hint text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    expire_time timestamptz,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT keys_pkey PRIMARY KEY (uid),
    CONSTRAINT keys_team_fkey FOREIGN KEY (team_uid) REFERENCES teams (uid),
    CONSTRAINT keys_key_id_unique UNIQUE (team_uid, key_id),
    CONSTRAINT keys_key_id_form CHECK (key_id ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

-- The current secret of a key and, until a rotation's overlap ends, the one before.
CREATE TABLE key_secrets (
    secret_sha256 bytea NOT NULL,
    key_uid uuid NOT NULL,
    expire_time timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_secrets_pkey PRIMARY KEY (secret_sha256),
    CONSTRAINT key_secrets_key_fkey FOREIGN KEY (key_uid) REFERENCES keys (uid) ON DELETE CASCADE,
    CONSTRAINT key_secrets_length CHECK (octet_length(secret_sha256) = 32)
);
CREATE INDEX key_secrets_key ON key_secrets (key_uid);

-- Apart from keys, because a use is no change of configuration.
CREATE TABLE key_uses (
    key_uid uuid NOT NULL,
    last_used_time timestamptz NOT NULL,
    CONSTRAINT key_uses_pkey PRIMARY KEY (key_uid),
    CONSTRAINT key_uses_key_fkey FOREIGN KEY (key_uid) REFERENCES keys (uid) ON DELETE CASCADE
);

-- The admin key that a first start made. One given by the environment is never stored.
CREATE TABLE admin_keys (
    secret_sha256 bytea NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT admin_keys_pkey PRIMARY KEY (secret_sha256),
    CONSTRAINT admin_keys_length CHECK (octet_length(secret_sha256) = 32)
);

-- Random values that all replicas share, for example to seal page tokens.
CREATE TABLE shared_secrets (
    purpose text NOT NULL,
    secret_value bytea NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT shared_secrets_pkey PRIMARY KEY (purpose)
);

CREATE TABLE agents (
    uid uuid NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    team_uid uuid NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    visibility text NOT NULL,
    lifecycle_state text NOT NULL,
    push_mode text NOT NULL,
    push_allowed_hosts text[] NOT NULL DEFAULT '{}',
    forward_headers text[] NOT NULL DEFAULT '{}',
    trust_card_authority boolean NOT NULL DEFAULT false,
    warnings text[] NOT NULL DEFAULT '{}',
    current_revision bigint NOT NULL,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agents_pkey PRIMARY KEY (uid),
    CONSTRAINT agents_agent_id_unique UNIQUE (agent_id),
    CONSTRAINT agents_agent_id_form CHECK (agent_id ~ '^[a-z][a-z0-9-]{0,62}$'),
    CONSTRAINT agents_team_fkey FOREIGN KEY (team_uid) REFERENCES teams (uid),
    CONSTRAINT agents_visibility CHECK (visibility IN ('PRIVATE', 'TEAM', 'ORGANIZATION', 'PUBLIC')),
    CONSTRAINT agents_state CHECK (lifecycle_state IN ('DRAFT', 'PENDING_APPROVAL', 'APPROVED', 'DEPRECATED', 'RETIRED', 'REJECTED', 'SUSPENDED')),
    CONSTRAINT agents_push_mode CHECK (push_mode IN ('OFF', 'DIRECT'))
);
CREATE INDEX agents_team ON agents (team_uid, agent_id);

-- Names and aliases share one space.
CREATE TABLE agent_names (
    agent_name text COLLATE "C" NOT NULL,
    agent_uid uuid NOT NULL,
    alias boolean NOT NULL,
    CONSTRAINT agent_names_pkey PRIMARY KEY (agent_name),
    CONSTRAINT agent_names_agent_fkey FOREIGN KEY (agent_uid) REFERENCES agents (uid) ON DELETE CASCADE
);
CREATE INDEX agent_names_agent ON agent_names (agent_uid);

-- What an agent was at each revision: never updated, and kept when the agent is
-- deleted, because events name revisions.
CREATE TABLE agent_revisions (
    agent_uid uuid NOT NULL,
    revision bigint NOT NULL,
    card bytea NOT NULL,
    card_source text NOT NULL,
    endpoints jsonb NOT NULL,
    -- What the card says the agent speaks, so that lists need not read cards.
    interfaces jsonb NOT NULL DEFAULT '[]',
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_revisions_pkey PRIMARY KEY (agent_uid, revision),
    CONSTRAINT agent_revisions_source CHECK (card_source IN ('INLINE', 'FETCHED', 'NONE'))
);
-- Few rows: those whose card is still asked for.
CREATE INDEX agent_revisions_without_card ON agent_revisions (agent_uid, revision) WHERE card_source = 'NONE';

-- +goose Down
DROP TABLE agent_revisions;
DROP TABLE agent_names;
DROP TABLE agents;
DROP TABLE shared_secrets;
DROP TABLE admin_keys;
DROP TABLE key_uses;
DROP TABLE key_secrets;
DROP TABLE keys;
DROP TABLE teams;
DROP TABLE config_changes;
DROP TABLE configuration_revision;
