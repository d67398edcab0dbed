-- Policies with their versions, and grants.

-- +goose Up
CREATE TABLE policies (
    uid uuid NOT NULL,
    policy_id text COLLATE "C" NOT NULL,
    description text NOT NULL DEFAULT '',
    -- One that comes with the gateway: it has a row only once its mode was changed, and
    -- its versions have no text.
    shipped boolean NOT NULL DEFAULT false,
    last_version bigint NOT NULL,
    -- The version that is in force, or would be were it not disabled; null for none.
    current_version bigint,
    current_mode text NOT NULL DEFAULT 'ENFORCE',
    -- The version that is tried beside it; null for none.
    shadow_version bigint,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policies_pkey PRIMARY KEY (uid),
    CONSTRAINT policies_policy_id_unique UNIQUE (policy_id),
    CONSTRAINT policies_policy_id_form CHECK (policy_id ~ '^[a-z][a-z0-9-]{0,62}$' AND policy_id !~ '^g-'),
    CONSTRAINT policies_mode CHECK (current_mode IN ('ENFORCE', 'DISABLED')),
    CONSTRAINT policies_some_version CHECK (current_version IS NOT NULL OR shadow_version IS NOT NULL)
);

-- What a policy was: never updated, but that the replay is attached with which a version
-- that was tried comes into force.
CREATE TABLE policy_versions (
    policy_uid uuid NOT NULL,
    policy_version bigint NOT NULL,
    cedar_text text NOT NULL,
    -- The mode that it was written with.
    applied_mode text NOT NULL,
    author text NOT NULL,
    comment text NOT NULL DEFAULT '',
    -- The version that this one brings back; null when it was written.
    rollback_of bigint,
    -- The replay that was looked at before it came into use; null for none.
    replay_uid uuid,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policy_versions_pkey PRIMARY KEY (policy_uid, policy_version),
    CONSTRAINT policy_versions_mode CHECK (applied_mode IN ('ENFORCE', 'SHADOW', 'DISABLED')),
    CONSTRAINT policy_versions_policy_fkey FOREIGN KEY (policy_uid) REFERENCES policies (uid) ON DELETE CASCADE
);

-- Numbers grants, whose ids stand beside those of policies in decisions.
CREATE SEQUENCE grant_numbers;

CREATE TABLE grants (
    uid uuid NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    -- As package policy writes them: "team:research", "key:teams/research/keys/ci".
    principal text COLLATE "C" NOT NULL,
    -- "agent:planner", "tag:internal", "team:research" or "all".
    agents text COLLATE "C" NOT NULL,
    actions text[] NOT NULL,
    expire_time timestamptz,
    via boolean NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    -- The team whose agents it is about; null when they are of several.
    team_uid uuid,
    description text NOT NULL DEFAULT '',
    author text NOT NULL,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT grants_pkey PRIMARY KEY (uid),
    CONSTRAINT grants_grant_id_unique UNIQUE (grant_id),
    CONSTRAINT grants_grant_id_form CHECK (grant_id ~ '^g-[a-z0-9-]{1,60}$'),
    CONSTRAINT grants_team_fkey FOREIGN KEY (team_uid) REFERENCES teams (uid)
);
CREATE INDEX grants_principal ON grants (principal);
CREATE INDEX grants_agents ON grants (agents);
CREATE INDEX grants_team ON grants (team_uid, grant_id);

-- For what a grant was when a decision rested on it.
CREATE INDEX config_changes_grants ON config_changes (resource_name, revision) WHERE resource_kind = 'grant';

-- What recorded calls would have come to under a draft.
CREATE TABLE policy_replays (
    uid uuid NOT NULL,
    -- The hash of the draft, so that a report cannot be attached to another text.
    draft_sha256 bytea NOT NULL,
    policy_id text COLLATE "C" NOT NULL,
    author text NOT NULL,
    -- The teams whose callers' decisions it was limited to; null for none.
    teams text[],
    report jsonb NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policy_replays_pkey PRIMARY KEY (uid)
);

-- +goose Down
DROP INDEX config_changes_grants;
DROP TABLE policy_replays;
DROP TABLE grants;
DROP SEQUENCE grant_numbers;
DROP TABLE policy_versions;
DROP TABLE policies;
