// Package httpauthtest has an authorization server that exchanges tokens as RFC 8693 says,
// and is strict about it.
package httpauthtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The parts of names of RFC 8693.
const (
	Grant     = "urn:ietf:params:oauth:grant-type:token-exchange"
	TokenType = "urn:ietf:params:oauth:token-type:" //nolint:gosec // a name and no credential
)

// Exchange is an authorization server that exchanges the tokens that it issued.
type Exchange struct {
	*httptest.Server
	// ClientID and Secret are those of the client that may ask.
	ClientID, Secret string
	// InBody tells where the client must show its secret.
	InBody bool
	// Params are the parameters that each question must have, besides those of the subject
	// and of the client; no others are taken.
	Params url.Values
	// SubjectType is the type that the subject token must be said to have.
	SubjectType string
	// Actor, when it is not nil, checks the actor token that must be there then.
	Actor func(token string) error

	mu       sync.Mutex
	subjects map[string]string // the tokens that it issued, and for whom
	asked    []string          // for whom it was asked, with a good question
	refused  []string          // what was wrong with the others
	reply    func(subject string, n int) (status int, body string)
	gate     chan struct{}
}

// NewExchange starts a server. What can be set must be set before the first question.
func NewExchange(t testing.TB) *Exchange {
	t.Helper()
	s := &Exchange{
		ClientID: "gateway", Secret: "s3cret-marker", SubjectType: TokenType + "jwt", subjects: map[string]string{},
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// TokenURL is the token endpoint.
func (s *Exchange) TokenURL() string { return s.URL + "/token" }

// Issue returns a token of a subject. Each is another one.
func (s *Exchange) Issue(subject string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, err := json.Marshal(map[string]any{"iss": s.URL + "/realm", "sub": subject, "jti": fmt.Sprint(len(s.subjects))})
	if err != nil {
		panic(err) // texts are always written
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"ES256"}`)) + "." + encode(payload) + "." + encode([]byte("s3cret-marker signature"))
	s.subjects[token] = subject
	return token
}

// Know makes the server take a token that was made elsewhere.
func (s *Exchange) Know(token, subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects[token] = subject
}

// Asked returns for whom tokens were exchanged.
func (s *Exchange) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Refused returns what was wrong with questions that were refused.
func (s *Exchange) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Reply answers good questions otherwise than with a token; nil does that again.
func (s *Exchange) Reply(f func(subject string, n int) (status int, body string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = f
}

// Hold makes questions wait until release is called.
func (s *Exchange) Hold() (release func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gate = nil
		close(gate)
	}
}

// Exchanged is the token that a subject gets as the nth that the server exchanges.
func Exchanged(subject string, n int) string {
	return fmt.Sprintf("ex-%s-%d-s3cret-marker", subject, n)
}

func (s *Exchange) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	subject, code, err := s.check(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused = append(s.refused, err.Error())
		status := http.StatusBadRequest
		if code == "invalid_client" {
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
		// Some servers repeat what they were sent.
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": fmt.Sprint(r.PostForm)})
		return
	}
	s.asked = append(s.asked, subject)
	if s.reply != nil {
		status, body := s.reply(subject, len(s.asked))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": Exchanged(subject, len(s.asked)), "issued_token_type": TokenType + "access_token", "token_type": "Bearer", "expires_in": 600,
	})
}

// check returns the subject of a question, or the code and text of what is wrong with it.
func (s *Exchange) check(r *http.Request) (subject, code string, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || kind != "application/x-www-form-urlencoded" || r.URL.Path != "/token" || r.URL.RawQuery != "" {
		return "", "invalid_request", fmt.Errorf("%s %s %s", r.Method, r.URL, kind)
	}
	if err := r.ParseForm(); err != nil {
		return "", "invalid_request", err
	}
	form := maps.Clone(r.PostForm)
	take := func(name string) string {
		v := form[name]
		delete(form, name)
		if len(v) != 1 {
			return ""
		}
		return v[0]
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = take("client_id"), take("client_secret")
	}
	if basic == s.InBody || id != s.ClientID || secret != s.Secret {
		return "", "invalid_client", fmt.Errorf("the client %q, in the body: %v", id, !basic)
	}
	if grant := take("grant_type"); grant != Grant {
		return "", "unsupported_grant_type", fmt.Errorf("grant_type %q", grant)
	}
	token, subjectType := take("subject_token"), take("subject_token_type")
	s.mu.Lock()
	subject, ok := s.subjects[token]
	s.mu.Unlock()
	if !ok || subjectType != s.SubjectType {
		return "", "invalid_request", fmt.Errorf("a subject token of type %q, known: %v", subjectType, ok)
	}
	if s.Actor != nil {
		actor, actorType := take("actor_token"), take("actor_token_type")
		if actorType != TokenType+"jwt" {
			return "", "invalid_request", fmt.Errorf("actor_token_type %q", actorType)
		}
		if err := s.Actor(actor); err != nil {
			return "", "invalid_request", err
		}
	}
	if got, want := url.Values(form).Encode(), s.Params.Encode(); got != want {
		return "", "invalid_request", fmt.Errorf("the other parameters are %s, want %s", strings.ReplaceAll(got, token, "…"), want)
	}
	return subject, "", nil
}
