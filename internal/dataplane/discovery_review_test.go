package dataplane_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// crowd is a configuration of many agents that a key does not see, and one behind them that
// it does.
type crowd struct{ delta snapshot.Delta }

func (crowd) Revision(context.Context) (int64, error) { return 1, nil }

func (crowd) Since(context.Context, int64, string) (snapshot.Delta, error) {
	return snapshot.Delta{}, errors.New("nothing changes")
}

func (f crowd) All(context.Context) (snapshot.Delta, error) { return f.delta, nil }

func newCrowd(tb testing.TB, hidden int) *snapshot.Follower {
	tb.Helper()
	home, away := uuid.New(), uuid.New()
	d := snapshot.Delta{
		Revision: 1,
		Teams:    map[uuid.UUID]*identity.Team{home: {UID: home, ID: "home"}, away: {UID: away, ID: "away"}},
		Keys:     map[uuid.UUID]*identity.Key{},
		Agents:   map[uuid.UUID]*registry.Agent{},
	}
	for _, id := range []string{"one", "two"} {
		k := &identity.Key{UID: uuid.New(), TeamUID: home, Team: "home", ID: id, Secrets: []identity.Secret{{SHA256: identity.HashSecret(id)}}}
		d.Keys[k.UID] = k
	}
	add := func(id, team string) {
		a := &registry.Agent{
			UID: uuid.New(), ID: id, Team: team, Visibility: registry.VisibilityTeam, State: registry.StateApproved,
			Card:      []byte(`{"name":"e","supportedInterfaces":[{"url":"http://127.0.0.1:9","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`),
			Endpoints: []registry.Endpoint{{URL: "http://127.0.0.1:9", Weight: 1}},
		}
		d.Agents[a.UID] = a
	}
	for i := range hidden {
		add(fmt.Sprintf("hidden-%06d", i), "away")
	}
	add("mine-a", "home")
	add("mine-b", "home")
	f, err := snapshot.NewFollower(tb.Context(), snapshot.Config{Source: crowd{d}})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestListAgents_LooksAtABoundedNumberForAPageAndTellsNoHiddenName(t *testing.T) {
	follower := newCrowd(t, 30_000)
	g := newRig(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}, "", func(c *dataplane.Config) { c.Snapshots = follower })
	get := func(secret, token string) (names []string, next string, status int) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a2a?pageSize=1&pageToken="+url.QueryEscape(token), http.NoBody)
		req.Header.Set("Authorization", "Bearer "+secret)
		reply := httptest.NewRecorder()
		g.proxy.ServeHTTP(reply, req)
		var page struct {
			Agents        []struct{ Name string }
			NextPageToken string
		}
		if reply.Code == http.StatusOK {
			if err := json.Unmarshal(reply.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range page.Agents {
			names = append(names, a.Name)
		}
		return names, page.NextPageToken, reply.Code
	}
	var all []string
	pages := 0
	for token := ""; pages < 50; {
		pages++
		names, next, status := get("one", token)
		if status != http.StatusOK {
			t.Fatalf("page %d: HTTP %d", pages, status)
		}
		all = append(all, names...)
		plain, _ := base64.RawURLEncoding.DecodeString(next)
		if strings.Contains(next, "hidden") || strings.Contains(string(plain), "hidden") {
			t.Fatalf("the token names an agent that the caller does not see: %q", next)
		}
		if next == "" {
			break
		}
		if pages == 1 {
			if len(names) != 0 {
				t.Errorf("the first page is %v, beyond 30 000 agents that are hidden", names)
			}
			if _, _, status := get("two", next); status != http.StatusBadRequest {
				t.Errorf("another caller goes on with the token: HTTP %d", status)
			}
		}
		token = next
	}
	if fmt.Sprint(all) != "[mine-a mine-b]" {
		t.Errorf("%d pages have %v", pages, all)
	}
	if _, _, status := get("one", "hidden-000001"); status != http.StatusBadRequest {
		t.Errorf("a token that nobody gave: HTTP %d", status)
	}
}
