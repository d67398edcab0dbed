package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// agentSecrets is what is stored of an agent's credential and of its TLS.
type agentSecrets struct {
	credential, tls             json.RawMessage // null for none
	sealedCredential, sealedKey []byte
	credentialKEK, keyKEK       string
}

func secretsOf(a *registry.Agent) (agentSecrets, error) {
	s := agentSecrets{sealedCredential: []byte{}, sealedKey: []byte{}}
	var err error
	if c := a.Credential; c != nil {
		if s.credential, err = json.Marshal(c); err != nil {
			return s, fmt.Errorf("write credential: %w", err)
		}
		s.sealedCredential, s.credentialKEK = c.Sealed.Data, c.Sealed.KeyID
	}
	if t := a.TLS; t != nil {
		if s.tls, err = json.Marshal(t); err != nil {
			return s, fmt.Errorf("write transport security: %w", err)
		}
		if t.Sealed.KeyID != "" {
			s.sealedKey, s.keyKEK = t.Sealed.Data, t.Sealed.KeyID
		}
	}
	return s, nil
}

// readSecrets reads what secretsOf wrote.
func readSecrets(a *registry.Agent, row dbsqlc.Agent) error {
	var errs [2]error
	if len(row.Credential) > 0 {
		a.Credential = &credential.Credential{}
		errs[0] = json.Unmarshal(row.Credential, a.Credential)
		a.Credential.Sealed = seal.Sealed{KeyID: row.CredentialKekID, Data: row.SealedCredential}
	}
	if len(row.TransportSecurity) > 0 {
		a.TLS = &credential.TLS{}
		errs[1] = json.Unmarshal(row.TransportSecurity, a.TLS)
		if row.ClientKeyKekID != "" {
			a.TLS.Sealed = seal.Sealed{KeyID: row.ClientKeyKekID, Data: row.SealedClientKey}
		}
	}
	return errors.Join(errs[:]...)
}

// SealedOtherwise implements [registry.Store].
func (s *Store) SealedOtherwise(ctx context.Context, keyID string) ([]registry.SealedAgent, error) {
	rows, err := s.queries.AgentSealedOtherwise(ctx, s.pool, keyID)
	if err != nil {
		return nil, fmt.Errorf("list sealed credentials: %w", fault(err))
	}
	agents := make([]registry.SealedAgent, len(rows))
	for i, row := range rows {
		agents[i] = registry.SealedAgent{
			UID: row.UID, ID: row.AgentID, Kind: credential.Kind(row.Kind),
			Credential: seal.Sealed{KeyID: row.CredentialKekID, Data: row.SealedCredential},
			ClientKey:  seal.Sealed{KeyID: row.ClientKeyKekID, Data: row.SealedClientKey},
		}
	}
	return agents, nil
}

// Reseal implements [registry.Store].
func (s *Store) Reseal(ctx context.Context, was registry.SealedAgent, secret, clientKey seal.Sealed) error {
	err := s.queries.AgentReseal(ctx, s.pool, dbsqlc.AgentResealParams{
		UID:              was.UID,
		SealedCredential: secret.Data, CredentialKekID: secret.KeyID, OldSealedCredential: was.Credential.Data,
		SealedClientKey: clientKey.Data, ClientKeyKekID: clientKey.KeyID, OldSealedClientKey: was.ClientKey.Data,
	})
	if err != nil {
		return fmt.Errorf("reseal credential of agents/%s: %w", was.ID, fault(err))
	}
	return nil
}

// tlsDocument is the TLS of an agent in the history. Certificates stand there by their
// hashes: they are long.
type tlsDocument struct {
	CASHA256          string `json:"ca_sha256,omitempty"`
	CertificateSHA256 string `json:"certificate_sha256,omitempty"`
	ServerName        string `json:"server_name,omitempty"`
}

func tlsDoc(t *credential.TLS) *tlsDocument {
	if t == nil {
		return nil
	}
	doc := &tlsDocument{CertificateSHA256: t.CertificateSHA256, ServerName: t.ServerName}
	if t.CA != "" {
		sum := sha256.Sum256([]byte(t.CA))
		doc.CASHA256 = hex.EncodeToString(sum[:])
	}
	return doc
}
