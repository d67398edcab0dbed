package app

import (
	"context"
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// openCallers makes what finds out who calls.
func (a *App) openCallers() (err error) {
	a.tokens, err = token.New(token.Config{Client: &http.Client{Transport: a.transport}, Logger: a.logger})
	if err != nil {
		return err
	}
	a.tokens.Follow(a.follower.Current().Issuers())
	a.callers = authn.New(authn.Config{Tokens: a.tokens, KeyUsed: a.people.RecordUse, UserSeen: a.people.RecordUser})
	return nil
}

// followIssuers has the keys of new issuers fetched before their tokens come.
func (a *App) followIssuers(ctx context.Context) error {
	for {
		changed := a.follower.Changed()
		a.tokens.Follow(a.follower.Current().Issuers())
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// protectedResource serves the OAuth 2.0 Protected Resource Metadata (RFC 9728) of the
// gateway and of each path of an agent, whether there is such an agent or not.
func (a *App) protectedResource(w http.ResponseWriter, r *http.Request) {
	below := strings.TrimPrefix(r.URL.Path, token.MetadataPath)
	if below != "" && !strings.HasPrefix(below, dataplane.Prefix+"/") {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	base := strings.TrimRight(a.cfg.PublicURL, "/")
	if base == "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		base = scheme + r.Host
	}
	body := token.Metadata(base+below, authn.IssuerURLs(a.follower.Current()))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(body) //nolint:gosec // JSON with its texts escaped; a caller that has gone needs no answer
}
