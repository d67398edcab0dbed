package httpauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/signalbox-dev/signalbox/internal/credential"
)

// maxToken bounds a token: agents and proxies take no longer headers.
const maxToken = 32 << 10

// fetcher returns what asks for tokens of a credential. Where they are asked for is
// what was sealed with the secret.
func fetcher(client *http.Client, c *credential.Credential, secret credential.Secret) fetch {
	if c.Kind == credential.Google {
		return asked(client, secret.TokenURL, googleSource(c, secret))
	}
	cfg := &clientcredentials.Config{
		ClientID: c.ClientID, ClientSecret: string(secret.Value), TokenURL: secret.TokenURL, Scopes: c.Scopes,
		AuthStyle: authStyle(c),
	}
	if c.Audience != "" {
		cfg.EndpointParams = url.Values{"audience": {c.Audience}}
	}
	return asked(client, secret.TokenURL, func(ctx context.Context) (*oauth2.Token, error) { return cfg.Token(ctx) })
}

func authStyle(c *credential.Credential) oauth2.AuthStyle {
	switch {
	case c.Kind == credential.Entra, c.ClientAuthentication == credential.ClientBody:
		return oauth2.AuthStyleInParams
	case c.ClientAuthentication == credential.ClientHeader:
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleAutoDetect
}

// googleSource asks with an assertion that the service account's key signed (RFC 7523).
func googleSource(c *credential.Credential, secret credential.Secret) func(context.Context) (*oauth2.Token, error) {
	cfg := &jwt.Config{
		Email: c.ClientEmail, PrivateKey: []byte(secret.Value), PrivateKeyID: c.PrivateKeyID, TokenURL: secret.TokenURL, Scopes: c.Scopes,
	}
	if c.Audience != "" {
		cfg.PrivateClaims, cfg.UseIDToken = map[string]any{"target_audience": c.Audience}, true
	}
	return func(ctx context.Context) (*oauth2.Token, error) { return cfg.TokenSource(ctx).Token() }
}

// asked asks with a client, and tells of a failure only what may be told.
func asked(client *http.Client, tokenURL string, source func(context.Context) (*oauth2.Token, error)) fetch {
	return func(ctx context.Context) (string, time.Duration, error) {
		question := &bound{ctx: ctx, next: client.Transport}
		return question.ask(client, tokenURL, source, func(*oauth2.Token) bool { return true })
	}
}

// bound carries the requests of one question. It ends them with the question, which not
// every library does, and keeps what went wrong with a connection.
type bound struct {
	ctx  context.Context //nolint:containedctx // of the question, which is its life
	next http.RoundTripper
	err  error
	// style is how the last request showed the client's secret.
	style oauth2.AuthStyle
}

// ask gets a token from a source, and takes it when it is good.
func (b *bound) ask(client *http.Client, tokenURL string, source func(context.Context) (*oauth2.Token, error), good func(*oauth2.Token) bool) (string, time.Duration, error) {
	own := *client
	own.Transport = b
	token, err := source(context.WithValue(b.ctx, oauth2.HTTPClient, &own))
	if err != nil {
		return "", 0, plainly(b.ctx, host(tokenURL), err, b.err)
	}
	value := token.AccessToken
	if value == "" || len(value) > maxToken || !good(token) || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", 0, &Error{Why: TokenInvalid, Problem: "the token endpoint " + host(tokenURL) + " answered without a token that can be sent"}
	}
	if token.Expiry.IsZero() {
		return value, 0, nil
	}
	return value, max(time.Until(token.Expiry), time.Second), nil
}

// RoundTrip sends a request.
func (b *bound) RoundTrip(req *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	b.style = oauth2.AuthStyleInParams
	if req.Header.Get("Authorization") != "" {
		b.style = oauth2.AuthStyleInHeader
	}
	resp, err := next.RoundTrip(req.WithContext(b.ctx))
	b.err = err
	return resp, err
}

// plainly tells what kind of failure it was; broken is what went wrong with the
// connection. What libraries say repeats what the endpoint wrote, which may repeat what it
// was sent.
func plainly(ctx context.Context, at string, err, broken error) error {
	refused, isRefusal := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case isRefusal && refused.Response != nil:
		return &Error{Why: TokenRefused, Problem: "the token endpoint " + at + " refused: " + refusal(refused)}
	case ctx.Err() != nil:
		return &Error{Why: TokenTimeout, Problem: "the token endpoint " + at + " does not answer in time"}
	case broken != nil:
		return &Error{Why: TokenUnreachable, Problem: "the token endpoint " + at + " cannot be reached", Err: broken}
	}
	return &Error{Why: TokenInvalid, Problem: "the token endpoint " + at + " answered without a token that can be read"}
}

// refusal is the code of an error of OAuth, else the status.
func refusal(e *oauth2.RetrieveError) string {
	code := e.ErrorCode
	if code == "" {
		var body struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(e.Body, &body) == nil {
			code = body.Error
		}
	}
	if code = errorCode(code); code != "" {
		return code
	}
	return "HTTP " + strconv.Itoa(e.Response.StatusCode)
}

// errorCode returns the code of an error of OAuth (RFC 6749, section 5.2, and
// extensions); empty for what is none.
func errorCode(code string) string {
	if len(code) > 60 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_-") != "" {
		return ""
	}
	return code
}

// host names a token endpoint in errors.
func host(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil {
		return ""
	}
	return u.Host
}
