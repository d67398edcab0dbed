// Package oidc runs an OpenID provider of other people's making, for tests: oidc-provider
// of npm, with accounts, clients and resources that a test names. It issues what such
// providers issue, ID tokens and JWT access tokens, and can change its keys.
package oidc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// ConsoleClient is the client that people log in with. It has no secret.
	ConsoleClient = "console"
	// ServiceClient is the client that gets tokens for itself.
	ServiceClient = "service"

	serviceSecret  = "service-secret"
	installTimeout = 5 * time.Minute
	readyTimeout   = 60 * time.Second
	// processGrace is what the provider has for ending by itself.
	processGrace = 5 * time.Second
	// maxPages bounds the pages of one login.
	maxPages = 5
)

// Options is what the provider knows.
type Options struct {
	// RedirectURI is where logins end. Nothing needs to listen there.
	RedirectURI string `json:"redirectUri"`
	// Resources are what access tokens may be for.
	Resources []string `json:"resources"`
	// Accounts are claims by login, such as "name" and "groups".
	Accounts map[string]map[string]any `json:"accounts"`
}

// Provider is a provider that runs until the test ends.
type Provider struct {
	// URL is the issuer.
	URL string

	redirectURI string
}

// Tokens is what a login gives.
type Tokens struct{ ID, Access string }

// Start installs the provider when it is not, and starts it.
func Start(t testing.TB, o Options) *Provider {
	t.Helper()
	dir, err := install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	argument, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join(dir, "provider.mjs"), string(argument))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = processGrace
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("oidc: start the provider: %v", err)
	}
	ready := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(ready)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if u, ok := strings.CutPrefix(lines.Text(), "READY "); ok {
				ready <- u
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		kill := time.AfterFunc(processGrace, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		<-read // its output ends with it; Wait must not be called before
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("provider:\n%s", &stderr)
		}
	})
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case u, ok := <-ready:
		if !ok {
			t.Fatal("oidc: the provider ended before it served")
		}
		return &Provider{URL: u, redirectURI: o.RedirectURI}
	case <-timer.C:
		t.Fatalf("oidc: the provider does not serve after %s", readyTimeout)
		return nil
	}
}

// install returns the folder of the provider, with its packages in place.
func install(ctx context.Context) (string, error) {
	dir, err := folder()
	if err != nil {
		return "", err
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	if got, err := os.ReadFile(filepath.Join(dir, "node_modules", ".installed")); err == nil && bytes.Equal(got, lock) {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(dir, "setup.sh"))
	cmd.WaitDelay = processGrace
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("oidc: the provider is not installed; run internal/gatewaytest/peers/oidc/setup.sh: %w\n%s", err, out)
	}
	return dir, nil
}

// folder looks from this source file, and for a binary that was built without paths from
// the working directory upwards.
func folder() (string, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			here := filepath.Join(dir, "internal", "gatewaytest", "peers", "oidc")
			if _, err := os.Stat(filepath.Join(here, "provider.mjs")); err == nil {
				return here, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("oidc: no repository above the source or the working directory")
}

// Rotate gives the provider new keys, which it signs with from now on. The old ones stay
// published if they are kept.
func (p *Provider) Rotate(ctx context.Context, keep bool) error {
	address := p.URL + "/test/rotate"
	if keep {
		address += "?keep"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("oidc: rotation answered HTTP %d", res.StatusCode)
	}
	return nil
}

// Service returns an access token that the service's client gets for itself.
func (p *Provider) Service(ctx context.Context, resource string) (string, error) {
	cfg := clientcredentials.Config{
		ClientID: ServiceClient, ClientSecret: serviceSecret, TokenURL: p.URL + "/token",
		Scopes: []string{"invoke"}, EndpointParams: url.Values{"resource": {resource}},
	}
	tok, err := cfg.Token(ctx)
	if err != nil {
		return "", err
	}
	return tok.AccessToken, nil
}

// Login logs somebody in as a browser does, by the authorization code flow with PKCE,
// and returns their ID token and an access token for the resource.
func (p *Provider) Login(ctx context.Context, login, resource string) (Tokens, error) {
	cfg := oauth2.Config{
		ClientID: ConsoleClient, RedirectURL: p.redirectURI, Scopes: []string{"openid", "profile", "email", "groups", "invoke"},
		Endpoint: oauth2.Endpoint{AuthURL: p.URL + "/auth", TokenURL: p.URL + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier, state := oauth2.GenerateVerifier(), rand.Text()
	begin := cfg.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", resource), oauth2.SetAuthURLParam("nonce", rand.Text()))
	end, err := p.browse(ctx, begin, login)
	if err != nil {
		return Tokens{}, err
	}
	if end.Query().Get("state") != state || end.Query().Get("code") == "" {
		return Tokens{}, fmt.Errorf("oidc: the login ended with %q", end.Query())
	}
	tok, err := cfg.Exchange(ctx, end.Query().Get("code"), oauth2.VerifierOption(verifier), oauth2.SetAuthURLParam("resource", resource))
	if err != nil {
		return Tokens{}, err
	}
	id, _ := tok.Extra("id_token").(string)
	return Tokens{ID: id, Access: tok.AccessToken}, nil
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([a-z]+)"`)
)

// browse fills in the forms of a login and returns where it ends.
func (p *Provider) browse(ctx context.Context, begin, login string) (*url.URL, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), p.redirectURI) || len(via) > 10 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, begin, http.NoBody)
	if err != nil {
		return nil, err
	}
	for range maxPages {
		page, end, err := load(browser, req)
		if end != nil || err != nil {
			return end, err
		}
		action, prompt := formAction.FindSubmatch(page), formPrompt.FindSubmatch(page)
		if action == nil || prompt == nil {
			return nil, fmt.Errorf("oidc: a page without a form: %s", page)
		}
		form := url.Values{"prompt": {string(prompt[1])}, "login": {login}, "password": {"any"}}
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, string(action[1]), strings.NewReader(form.Encode())); err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil, fmt.Errorf("oidc: the login has more than %d pages", maxPages)
}

// load returns a page, or where the browser would leave the provider for.
func load(browser *http.Client, req *http.Request) (page []byte, end *url.URL, err error) {
	res, err := browser.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if end, err := res.Location(); err == nil {
		return nil, end, nil
	}
	page, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("oidc: %s answered HTTP %d: %s", req.URL, res.StatusCode, page)
	}
	return page, nil, err
}
