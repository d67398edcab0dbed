-- The keys that the gateway signs with. Their private parts are sealed by the
-- key-encryption key, which is not in the database.

-- +goose Up
CREATE TABLE signing_keys (
    -- The RFC 7638 thumbprint of the public key.
    kid text NOT NULL,
    -- What it signs, for example 'agent-card'. The sealed part is bound to it.
    purpose text NOT NULL,
    -- For readers without the key-encryption key. The gateway publishes only keys whose
    -- private part it could unseal, so that a row that somebody added is not vouched for.
    public_jwk jsonb NOT NULL,
    sealed_private_key bytea NOT NULL,
    -- The fingerprint of the key-encryption key.
    kek_id text NOT NULL,
    create_time timestamptz NOT NULL,
    -- Published from its creation, used from here: verifiers are to have it by then.
    sign_time timestamptz NOT NULL,
    -- When it is published no more; null for the newest of its purpose.
    retire_time timestamptz,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (kid)
);
-- Replicas that start together must agree on one key.
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys (purpose) WHERE retire_time IS NULL;

-- +goose Down
DROP TABLE signing_keys;
