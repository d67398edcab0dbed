package dataplane

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func sealOf(t *testing.T, key byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher([]byte(strings.Repeat(string(rune(key)), 32)))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return seal
}

// listing is a ListTasks call of a caller to an agent.
func listing(seal cipher.AEAD, caller, agent byte, contextID string) *call {
	return &call{
		p: &Proxy{cfg: Config{PageSeal: seal}}, principal: identity.Principal{UID: uuid.UUID{caller}},
		agent: &snapshot.Agent{Agent: &registry.Agent{UID: uuid.UUID{agent}}}, params: a2a.Call{ContextID: contextID},
	}
}

func TestPageToken_OpensForItsCallerAgentAndContextOnly(t *testing.T) {
	seal := sealOf(t, 'k')
	for _, place := range []listPlace{{}, {token: "secret-of-the-agent", offset: 0}, {token: "", offset: 99}, {token: "\x00\xffünï", offset: 1 << 20}} {
		token := listing(seal, 1, 1, "talk").sealPageToken(place)
		if got, ok := listing(seal, 1, 1, "talk").openPageToken(token); !ok || got != place {
			t.Errorf("%+v opens as %+v, %t", place, got, ok)
		}
		for who, c := range map[string]*call{
			"another caller":             listing(seal, 2, 1, "talk"),
			"another agent":              listing(seal, 1, 2, "talk"),
			"caller and agent exchanged": listing(seal, 2, 2, "talk"),
			"another context":            listing(seal, 1, 1, "talk2"),
			"no context":                 listing(seal, 1, 1, ""),
			"another key":                listing(sealOf(t, 'l'), 1, 1, "talk"),
		} {
			if got, ok := c.openPageToken(token); ok {
				t.Errorf("it opens for %s: %+v", who, got)
			}
		}
		if place.token != "" {
			raw, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil || strings.Contains(string(raw), place.token) || strings.Contains(token, place.token) {
				t.Errorf("the token shows the agent's, %v", err)
			}
		}
		if again := listing(seal, 1, 1, "talk").sealPageToken(place); again == token {
			t.Error("the same place gives the same token twice")
		}
	}
}

func TestPageToken_NothingElseOpens(t *testing.T) {
	seal := sealOf(t, 'k')
	c := listing(seal, 1, 1, "")
	good := c.sealPageToken(listPlace{token: "t", offset: 3})
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{"", "x", "!", good + "=", good[1:], good + "A", strings.Repeat("A", 16), strings.Repeat("A", 4000)}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		tokens = append(tokens, base64.RawURLEncoding.EncodeToString(changed), base64.RawURLEncoding.EncodeToString(raw[:i]))
	}
	// An offset that no page has, sealed as it should be.
	tokens = append(tokens, c.sealPageToken(listPlace{offset: 1<<20 + 1}))
	// What is sealed and no place at all.
	nonce := make([]byte, seal.NonceSize())
	tokens = append(tokens,
		base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, nil, c.pageTokenOwner())),
		base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, []byte{0xff}, c.pageTokenOwner())))
	for _, token := range tokens {
		if got, ok := c.openPageToken(token); ok {
			t.Errorf("%.80q opens as %+v", token, got)
		}
	}
}
