-- What the gateway shows to agents, and how both know each other in TLS. Secrets are
-- sealed by the key-encryption key, which is not in the database.

-- +goose Up
ALTER TABLE agents
    -- All of the credential but its secrets; null for none.
    ADD COLUMN credential jsonb,
    -- Bound to the agent's uid. Has the origins that it may be sent to, so that whoever can
    -- write to the database cannot have it sent elsewhere.
    ADD COLUMN sealed_credential bytea NOT NULL DEFAULT '',
    -- The fingerprint of the key-encryption key; empty when nothing is sealed.
    ADD COLUMN credential_kek_id text NOT NULL DEFAULT '',
    -- Authorities, the client certificate, and the name to expect; null for none.
    ADD COLUMN transport_security jsonb,
    ADD COLUMN sealed_client_key bytea NOT NULL DEFAULT '',
    ADD COLUMN client_key_kek_id text NOT NULL DEFAULT '',
    ADD CONSTRAINT agents_credential CHECK ((credential IS NULL) = (credential_kek_id = '')),
    ADD CONSTRAINT agents_client_key CHECK (client_key_kek_id = '' OR transport_security IS NOT NULL);

-- +goose Down
ALTER TABLE agents
    DROP COLUMN client_key_kek_id,
    DROP COLUMN sealed_client_key,
    DROP COLUMN transport_security,
    DROP COLUMN credential_kek_id,
    DROP COLUMN sealed_credential,
    DROP COLUMN credential;
