-- Dialects: what agents are spoken to in, how their cards are served and verified, and
-- what each call was translated into.

-- +goose Up
ALTER TABLE agents
    -- Best first; empty means what is nearest to the caller's.
    ADD COLUMN preferred_dialects text[] NOT NULL DEFAULT '{}',
    ADD COLUMN card_shape text NOT NULL DEFAULT 'AUTO',
    -- A JWKS as it was given; empty for none.
    ADD COLUMN card_keys text NOT NULL DEFAULT '',
    ADD CONSTRAINT agents_preferred_dialects CHECK (preferred_dialects <@ ARRAY[
        'JSONRPC/1.0', 'HTTP+JSON/1.0', 'GRPC/1.0', 'JSONRPC/0.3', 'HTTP+JSON/0.3', 'GRPC/0.3'
    ]),
    ADD CONSTRAINT agents_card_shape CHECK (card_shape IN ('AUTO', 'V10', 'V03', 'UNION'));

ALTER TABLE agent_revisions
    -- Empty when nobody looked at the signature: there is no card, or a version wrote the
    -- row that did not know signatures.
    ADD COLUMN card_verification text NOT NULL DEFAULT '',
    -- The key that verified the signature; empty for none.
    ADD COLUMN card_key_id text NOT NULL DEFAULT '',
    ADD CONSTRAINT agent_revisions_verification CHECK (card_verification IN ('', 'UNSIGNED', 'NO_KEY', 'VERIFIED', 'INVALID'));

-- Agents that speak another binding are callable now.
UPDATE agents
SET warnings = array_remove(warnings, 'the agent card names no JSON-RPC interface of version 0.3 or 1.0; the agent is not callable until it does')
WHERE warnings <> '{}';

-- Empty when the agent saw nothing of the call, and for calls before this column.
ALTER TABLE events ADD COLUMN upstream_dialect text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE events DROP COLUMN upstream_dialect;
ALTER TABLE agent_revisions DROP COLUMN card_key_id, DROP COLUMN card_verification;
ALTER TABLE agents DROP COLUMN card_keys, DROP COLUMN card_shape, DROP COLUMN preferred_dialects;
