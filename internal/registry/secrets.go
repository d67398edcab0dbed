package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const (
	fieldCredential = "agent.credential" //nolint:gosec // a name and no credential
	fieldTLS        = "agent.transport_security"
)

// secretsUpdate says what to change of an agent's credential and TLS.
type secretsUpdate struct {
	credential                *credential.Given
	tls                       *credential.GivenTLS
	clearCredential, clearTLS bool
}

// setSecrets gives next, whose endpoints are set, the credential and TLS of an update.
func (s *Service) setSecrets(ctx context.Context, was Agent, next *Agent, u secretsUpdate) error {
	addresses := make([]string, len(next.Endpoints))
	for i, e := range next.Endpoints {
		addresses[i] = e.URL
	}
	switch {
	case u.clearCredential:
		next.Credential = nil
	case u.credential != nil:
		c, err := credential.Make(s.sealer, next.UID, *u.credential, was.Credential, addresses, s.now())
		if err != nil {
			return invalidSecret(fieldCredential, err)
		}
		if c.TokenURL != "" {
			if err := s.checkAddress(ctx, fieldCredential, c.TokenURL); err != nil {
				return err
			}
		}
		next.Credential = c
	case next.Credential != nil:
		if err := next.Credential.CheckEndpoints(addresses); err != nil {
			return invalidSecret(fieldCredential, err)
		}
	}
	switch {
	case u.clearTLS:
		next.TLS = nil
	case u.tls != nil:
		t, err := credential.MakeTLS(s.sealer, next.UID, *u.tls, was.TLS)
		if err != nil {
			return invalidSecret(fieldTLS, err)
		}
		if was.TLS.Same(t) {
			t = was.TLS
		}
		next.TLS = t
	}
	return nil
}

// invalidSecret says below which field of an agent a fault is.
func invalidSecret(field string, err error) error {
	f, ok := errors.AsType[*credential.FaultError](err)
	if !ok {
		return fmt.Errorf("seal %s: %w", field, err)
	}
	if f.Field != "" {
		field += "." + f.Field
	}
	return &InvalidError{Field: field, Problem: f.Problem}
}

// SecretProblems tells why this replica cannot use what the agent's credential or client
// certificate rests on; empty when it can.
func (s *Service) SecretProblems(a *Agent) []string {
	var problems []string
	add := func(what string, err error) {
		if err != nil {
			problems = append(problems, clip(fmt.Sprintf("%s cannot be used by the replica that answers: %v", what, err)))
		}
	}
	if a.Credential != nil && a.Credential.Sealed.KeyID != "" {
		_, err := credential.Open(s.sealer, a.UID, a.Credential)
		add("the credential", err)
	}
	if a.TLS != nil && a.TLS.Sealed.KeyID != "" {
		_, err := a.TLS.Config(s.sealer, a.UID)
		add("the client certificate", err)
	}
	return problems
}

// Reseal seals again what older key-encryption keys sealed, so that they can be taken
// away. What cannot be read is left alone and logged: only its agents are affected.
func (s *Service) Reseal(ctx context.Context) error {
	agents, err := s.store.SealedOtherwise(ctx, s.sealer.ID())
	if err != nil {
		return err
	}
	resealed := 0
	for _, was := range agents {
		secret, err := credential.Reseal(s.sealer, was.UID, credential.Field(was.Kind), was.Credential)
		clientKey, keyErr := credential.Reseal(s.sealer, was.UID, credential.ClientKeyField, was.ClientKey)
		if err := errors.Join(err, keyErr); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "the credential of an agent cannot be read: calls to it fail on this replica",
				slog.String("agent", "agents/"+was.ID), slog.Any("error", err))
			continue
		}
		if err := s.store.Reseal(ctx, was, secret, clientKey); err != nil {
			return err
		}
		resealed++
	}
	if resealed > 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "credentials of agents were sealed again with the newest key-encryption key", slog.Int("agents", resealed))
	}
	return nil
}

// secretNotes tells the owner where the credential does not go, and where it goes in clear.
func (a *Agent) secretNotes() []string {
	if a.Credential == nil {
		return nil
	}
	var notes []string
	for _, origin := range append([]string{a.Credential.TokenURL}, a.Credential.SentTo...) {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			notes = append(notes, clip(fmt.Sprintf("the credential goes to %s without TLS: whoever is on the way can read it", credential.Origin(u))))
		}
	}
	if !a.TrustCardAuthority {
		return notes
	}
	said := map[string]bool{}
	for _, i := range a.Interfaces {
		d, ok := i.dialect()
		if !ok {
			continue
		}
		dial := dialURL
		if d.Binding == a2a.GRPC {
			dial = dialTarget
		}
		origin := credential.Origin(dial(a.Endpoints[0].URL, i.URL, true))
		if !said[origin] && !slices.Contains(a.Credential.SentTo, origin) {
			notes = append(notes, clip(fmt.Sprintf(
				"the agent card names %s, to which the credential is not sent, so that calls fail; add it to extra_origins and give the credential again", origin)))
		}
		said[origin] = true
	}
	return notes
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
