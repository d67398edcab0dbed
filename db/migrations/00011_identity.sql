-- Users and who vouches for them, roles, keys that agents call with, client certificates.

-- +goose Up
ALTER TABLE config_changes
    DROP CONSTRAINT config_changes_kind,
    ADD CONSTRAINT config_changes_kind CHECK (resource_kind IN (
        'team', 'key', 'agent', 'admin_key', 'user', 'issuer', 'roles', 'policy', 'grant'
    ));
-- Roles are in the history under the principal that holds them: all that it holds.

-- Names that were deleted are looked up before they are given out again.
CREATE INDEX config_changes_deleted ON config_changes (resource_kind, resource_name, revision) WHERE verb = 'delete';

ALTER TABLE teams ADD COLUMN disabled boolean NOT NULL DEFAULT false;

ALTER TABLE keys
    -- The agent as which the key calls; null for a key that calls as itself.
    ADD COLUMN agent_uid uuid,
    ADD CONSTRAINT keys_agent_fkey FOREIGN KEY (agent_uid) REFERENCES agents (uid);
CREATE INDEX keys_agent ON keys (agent_uid) WHERE agent_uid IS NOT NULL;

-- The names in client certificates that stand for a key.
CREATE TABLE key_certificates (
    certificate_name text COLLATE "C" NOT NULL,
    key_uid uuid NOT NULL,
    CONSTRAINT key_certificates_pkey PRIMARY KEY (certificate_name),
    CONSTRAINT key_certificates_key_fkey FOREIGN KEY (key_uid) REFERENCES keys (uid) ON DELETE CASCADE,
    CONSTRAINT key_certificates_form CHECK (certificate_name ~ '^(URI|DNS|EMAIL):.')
);
CREATE INDEX key_certificates_key ON key_certificates (key_uid);

-- Whose tokens are believed.
CREATE TABLE issuers (
    uid uuid NOT NULL,
    issuer_id text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    issuer_url text COLLATE "C" NOT NULL,
    -- At most one of the two; without both, discovery says where the keys are.
    jwks text NOT NULL DEFAULT '',
    jwks_url text NOT NULL DEFAULT '',
    audiences text[] NOT NULL,
    algorithms text[] NOT NULL,
    skew_ms bigint NOT NULL,
    name_claim text NOT NULL DEFAULT '',
    email_claim text NOT NULL DEFAULT '',
    claim_mappings jsonb NOT NULL DEFAULT '[]',
    -- Makes the uids of users, so that a subject cannot be told from a uid.
    user_key bytea NOT NULL,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT issuers_pkey PRIMARY KEY (uid),
    CONSTRAINT issuers_issuer_id_unique UNIQUE (issuer_id),
    CONSTRAINT issuers_issuer_id_form CHECK (issuer_id ~ '^[a-z][a-z0-9-]{0,62}$'),
    CONSTRAINT issuers_url_unique UNIQUE (issuer_url),
    CONSTRAINT issuers_keys CHECK (jwks = '' OR jwks_url = ''),
    CONSTRAINT issuers_user_key CHECK (octet_length(user_key) = 32)
);

-- Users come with their first token, which is no change of configuration: what a user
-- may do rests on the token, on the roles given here, and on disabled.
CREATE TABLE users (
    uid uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    issuer_uid uuid NOT NULL,
    subject text COLLATE "C" NOT NULL,
    display_name text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    last_used_time timestamptz,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (uid),
    CONSTRAINT users_user_id_unique UNIQUE (user_id),
    CONSTRAINT users_subject_unique UNIQUE (issuer_uid, subject),
    CONSTRAINT users_issuer_fkey FOREIGN KEY (issuer_uid) REFERENCES issuers (uid) ON DELETE CASCADE
);
-- Few: those of whom replicas must know more than their tokens say.
CREATE INDEX users_disabled ON users (uid) WHERE disabled;

-- Who holds a role, in a team or, without one, everywhere.
CREATE TABLE role_members (
    principal_uid uuid NOT NULL,
    principal_kind text NOT NULL,
    role_name text COLLATE "C" NOT NULL,
    team_uid uuid,
    author text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT role_members_unique UNIQUE NULLS NOT DISTINCT (principal_uid, role_name, team_uid),
    CONSTRAINT role_members_kind CHECK (principal_kind IN ('key', 'user', 'agent')),
    CONSTRAINT role_members_role CHECK (role_name IN ('admin', 'team-admin', 'publisher', 'approver', 'auditor', 'member')),
    CONSTRAINT role_members_everywhere CHECK (role_name <> 'admin' OR team_uid IS NULL),
    CONSTRAINT role_members_team_fkey FOREIGN KEY (team_uid) REFERENCES teams (uid)
);
CREATE INDEX role_members_team ON role_members (team_uid, role_name);

-- +goose Down
DROP TABLE role_members;
DROP TABLE users;
DROP TABLE issuers;
DROP TABLE key_certificates;
ALTER TABLE keys DROP COLUMN agent_uid;
ALTER TABLE teams DROP COLUMN disabled;
DROP INDEX config_changes_deleted;
DELETE FROM config_changes WHERE resource_kind IN ('user', 'issuer', 'roles', 'policy', 'grant');
ALTER TABLE config_changes
    DROP CONSTRAINT config_changes_kind,
    ADD CONSTRAINT config_changes_kind CHECK (resource_kind IN ('team', 'key', 'agent', 'admin_key'));
