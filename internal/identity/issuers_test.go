package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// believers is a store of issuers that knows the team "research" alone.
type believers struct {
	identity.Store
	stored identity.Issuer
	writes int
}

func (b *believers) Team(_ context.Context, id string) (identity.Team, error) {
	if id != "research" {
		return identity.Team{}, identity.ErrTeamNotFound
	}
	return identity.Team{ID: id}, nil
}

func (b *believers) CreateIssuer(_ context.Context, _ string, i identity.Issuer) (identity.Issuer, int64, error) {
	b.stored, b.writes = i, b.writes+1
	return i, 1, nil
}

func (b *believers) UpdateIssuer(
	_ context.Context, _ string, _ uuid.UUID, edit func(*identity.Issuer) (bool, error),
) (identity.Issuer, int64, error) {
	i := b.stored
	changed, err := edit(&i)
	if err == nil && changed {
		b.stored, b.writes = i, b.writes+1
	}
	return i, 1, err
}

func keySet(t *testing.T, keys ...any) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for n, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: fmt.Sprint("k", n)})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func goodDraft() identity.IssuerDraft {
	return identity.IssuerDraft{URL: "https://idp.example.com", Audiences: []string{"signalbox"}, Skew: identity.DefaultSkew}
}

func TestCreateIssuer_TakesWhatCanBeBelieved(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := keySet(t, &strong.PublicKey, &p256.PublicKey, &p521.PublicKey, edPublic)
	many := make([]identity.ClaimMapping, identity.MaxClaimMappings+1)
	for n := range many {
		many[n] = identity.ClaimMapping{Claim: "groups", Value: fmt.Sprint(n), Team: "research"}
	}
	type draft = identity.IssuerDraft
	for name, tc := range map[string]struct {
		edit  func(*draft)
		field string // empty when it is taken
	}{
		"least":                  {func(*draft) {}, ""},
		"path and port":          {func(d *draft) { d.URL = "https://idp.example.com:8443/realms/x/" }, ""},
		"loopback":               {func(d *draft) { d.URL = "http://127.0.0.1:9000" }, ""},
		"localhost":              {func(d *draft) { d.URL = "http://localhost:9000/dex" }, ""},
		"no url":                 {func(d *draft) { d.URL = "" }, "issuer.url"},
		"http":                   {func(d *draft) { d.URL = "http://idp.example.com" }, "issuer.url"},
		"http of a lookalike":    {func(d *draft) { d.URL = "http://localhost.example.com" }, "issuer.url"},
		"fragment":               {func(d *draft) { d.URL = "https://idp.example.com#x" }, "issuer.url"},
		"query":                  {func(d *draft) { d.URL = "https://idp.example.com?x" }, "issuer.url"},
		"user":                   {func(d *draft) { d.URL = "https://a:b@idp.example.com" }, "issuer.url"},
		"no host":                {func(d *draft) { d.URL = "https:///x" }, "issuer.url"},
		"other scheme":           {func(d *draft) { d.URL = "file:///etc/passwd" }, "issuer.url"},
		"blank":                  {func(d *draft) { d.URL = "https://idp.example.com/ x" }, "issuer.url"},
		"no audience":            {func(d *draft) { d.Audiences = nil }, "issuer.audiences"},
		"empty audience":         {func(d *draft) { d.Audiences = []string{""} }, "issuer.audiences"},
		"audience twice":         {func(d *draft) { d.Audiences = []string{"a", "a"} }, "issuer.audiences"},
		"21 audiences":           {func(d *draft) { d.Audiences = strings.Split(strings.Repeat("a,", 20)+"a", ",") }, "issuer.audiences"},
		"all algorithms":         {func(d *draft) { d.Algorithms = identity.Algorithms() }, ""},
		"none as an algorithm":   {func(d *draft) { d.Algorithms = []string{"none"} }, "issuer.algorithms"},
		"shared secret":          {func(d *draft) { d.Algorithms = []string{"HS256"} }, "issuer.algorithms"},
		"algorithm twice":        {func(d *draft) { d.Algorithms = []string{"ES256", "ES256"} }, "issuer.algorithms"},
		"no skew":                {func(d *draft) { d.Skew = 0 }, ""},
		"negative skew":          {func(d *draft) { d.Skew = -time.Second }, "issuer.skew"},
		"skew of an hour":        {func(d *draft) { d.Skew = time.Hour }, "issuer.skew"},
		"keys":                   {func(d *draft) { d.JWKS = good }, ""},
		"keys at a url":          {func(d *draft) { d.JWKSURL = "https://idp.example.com/keys?v=2" }, ""},
		"keys at an http url":    {func(d *draft) { d.JWKSURL = "http://idp.example.com/keys" }, "issuer.jwks_url"},
		"keys twice":             {func(d *draft) { d.JWKS, d.JWKSURL = good, "https://idp.example.com/keys" }, "issuer.jwks"},
		"no JSON":                {func(d *draft) { d.JWKS = "x" }, "issuer.jwks"},
		"no keys":                {func(d *draft) { d.JWKS = `{"keys":[]}` }, "issuer.jwks"},
		"keys that repeat":       {func(d *draft) { d.JWKS = `{"keys":[],` + good[1:] }, "issuer.jwks"},
		"private RSA key":        {func(d *draft) { d.JWKS = keySet(t, &p256.PublicKey, strong) }, "issuer.jwks"},
		"private EC key":         {func(d *draft) { d.JWKS = keySet(t, p256) }, "issuer.jwks"},
		"private Ed25519 key":    {func(d *draft) { d.JWKS = keySet(t, edPrivate) }, "issuer.jwks"},
		"shared key":             {func(d *draft) { d.JWKS = keySet(t, []byte("secret")) }, "issuer.jwks"},
		"weak RSA key":           {func(d *draft) { d.JWKS = keySet(t, &weak.PublicKey) }, "issuer.jwks"},
		"key for encryption":     {func(d *draft) { d.JWKS = strings.Replace(good, `"kty"`, `"use":"enc","kty"`, 1) }, "issuer.jwks"},
		"point not on the curve": {func(d *draft) { d.JWKS = `{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}` }, "issuer.jwks"},
		"claim with dots":        {func(d *draft) { d.NameClaim = "profile.name" }, ""},
		"claim of dots":          {func(d *draft) { d.EmailClaim = "a..b" }, "issuer.email_claim"},
		"control character":      {func(d *draft) { d.DisplayName = "a\nb" }, "issuer.display_name"},
		"mapping": {func(d *draft) {
			d.Mappings = []identity.ClaimMapping{{Claim: "groups", Value: "a:b", Team: "research", Role: "publisher"}}
		}, ""},
		"mapping to no team":      {func(d *draft) { d.Mappings = []identity.ClaimMapping{{Claim: "groups", Value: "a", Team: "none"}} }, "issuer.claim_mappings[0].team"},
		"mapping to nothing":      {func(d *draft) { d.Mappings = []identity.ClaimMapping{{Claim: "groups", Value: "a"}} }, "issuer.claim_mappings[0]"},
		"mapping without a value": {func(d *draft) { d.Mappings = []identity.ClaimMapping{{Claim: "groups", Team: "research"}} }, "issuer.claim_mappings[0].value"},
		"mapping without a claim": {func(d *draft) { d.Mappings = []identity.ClaimMapping{{Value: "a", Team: "research"}} }, "issuer.claim_mappings[0].claim"},
		"mapping twice":           {func(d *draft) { d.Mappings = append(many[:1:1], many[0]) }, "issuer.claim_mappings[1]"},
		"too many mappings":       {func(d *draft) { d.Mappings = many }, "issuer.claim_mappings"},
	} {
		t.Run(name, func(t *testing.T) {
			db := &believers{}
			s, err := identity.New(identity.Config{Store: db})
			if err != nil {
				t.Fatal(err)
			}
			d := goodDraft()
			tc.edit(&d)
			_, _, err = s.CreateIssuer(t.Context(), "admin", "idp", d)
			if tc.field == "" {
				if err != nil || db.writes != 1 || len(db.stored.Algorithms) == 0 || db.stored.UserKey == [32]byte{} {
					t.Errorf("refused: %v; stored %+v", err, db.stored)
				}
				return
			}
			if e, ok := errors.AsType[*identity.InvalidError](err); !ok || e.Field != tc.field || db.writes != 0 {
				t.Errorf("%v, %d writes; want %s refused", err, db.writes, tc.field)
			}
		})
	}
}

func TestUpdateIssuer_ChecksTheWholeAndWritesOnlyChanges(t *testing.T) {
	db := &believers{}
	s, err := identity.New(identity.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := s.CreateIssuer(t.Context(), "admin", "idp", goodDraft())
	if err != nil {
		t.Fatal(err)
	}
	at, none, algorithms := "https://idp.example.com/keys", "", []string{}
	for name, tc := range map[string]struct {
		update identity.IssuerUpdate
		writes int
		fails  bool
	}{
		"nothing":            {identity.IssuerUpdate{}, 0, false},
		"the same":           {identity.IssuerUpdate{URL: &made.URL, Skew: &made.Skew, Audiences: &made.Audiences, Algorithms: &algorithms}, 0, false},
		"another url":        {identity.IssuerUpdate{JWKSURL: &at}, 1, false},
		"old etag":           {identity.IssuerUpdate{JWKSURL: &at, Etag: "old"}, 0, true},
		"no url":             {identity.IssuerUpdate{URL: &none}, 0, true},
		"keys in two places": {identity.IssuerUpdate{JWKSURL: &at, JWKS: &at}, 0, true},
		"team that is gone":  {identity.IssuerUpdate{Mappings: &[]identity.ClaimMapping{{Claim: "a", Value: "b", Team: "none"}}}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			db.stored, db.writes = made, 0
			_, _, err := s.UpdateIssuer(t.Context(), "admin", made.UID, tc.update)
			if (err != nil) != tc.fails || db.writes != tc.writes {
				t.Errorf("%v, %d writes; want %d", err, db.writes, tc.writes)
			}
		})
	}
}

func TestUserID_IsAnotherForEachSubject(t *testing.T) {
	i := identity.Issuer{ID: "okta", UserKey: [32]byte{1}}
	long := strings.Repeat("x", 121)
	ids := map[string]string{}
	uids := map[uuid.UUID]string{}
	for subject, want := range map[string]string{
		"ada":          "okta~ada",
		"ada@x.org":    "okta~ada@x.org",
		"auth0|1":      "okta~auth0=7c1",
		"auth0=7c1":    "okta~auth0=3d7c1",
		"Ada":          "okta~Ada",
		"ä":            "okta~=c3=a4",
		"a/b":          "okta~a=2fb",
		"~":            "okta~=7e",
		long:           "",
		long + "y":     "",
		"=" + "61":     "okta~=3d61",
		"a" + "\u200b": "okta~a=e2=80=8b",
	} {
		got := i.UserID(subject)
		if want != "" && got != want {
			t.Errorf("%q: %s, want %s", subject, got, want)
		}
		if other, taken := ids[got]; taken || len(got) > len("okta~")+120 {
			t.Errorf("%.20q and %.20q are both %s", subject, other, got)
		}
		uid := i.UserUID(subject)
		if other, taken := uids[uid]; taken || uid.Version() != 8 {
			t.Errorf("%.20q and %.20q have the uid %s", subject, other, uid)
		}
		ids[got], uids[uid] = subject, subject
	}
	other := identity.Issuer{ID: "okta", UserKey: [32]byte{2}}
	if i.UserUID("ada") == other.UserUID("ada") {
		t.Error("the uid of a user does not rest on the issuer's key")
	}
	if diff := cmp.Diff("issuers/okta", i.Name()); diff != "" {
		t.Error(diff)
	}
}
