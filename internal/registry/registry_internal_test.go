package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestNormalizeURL_WritesOneFormOfEachAddress(t *testing.T) {
	for in, want := range map[string]string{
		"http://h":                "http://h",
		"http://h/":               "http://h",
		"https://H.Example:8443/": "https://h.example:8443",
		"http://h/a/b//":          "http://h/a/b",
		"http://[::1]:9/x":        "http://[::1]:9/x",
		"http://h/a%2Fb":          "http://h/a%2Fb",
	} {
		got, err := normalizeURL("f", in)
		if err != nil || got != want {
			t.Errorf("normalizeURL(%q) = %q, %v; want %q", in, got, err, want)
		}
		if again, err := normalizeURL("f", got); err != nil || again != got {
			t.Errorf("normalizeURL(%q) is not stable: %q, %v", got, again, err)
		}
	}
	for _, in := range []string{
		"", "h", "//h", "http://", "http:///x", "http://h:", "http://h:0", "http://h:65536", "http://h:99999", "http://u@h", "http://u:secret@h",
		"http://h#", "http://h/#x", "http://h?", "http://h?x", "mailto:x", "http:h", "http://h\x00", "http://a b", "http://%zz", "javascript://h",
	} {
		got, err := normalizeURL("f", in)
		if _, ok := errors.AsType[*InvalidError](err); !ok {
			t.Errorf("normalizeURL(%q) = %q, %v; want a refusal", in, got, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("normalizeURL(%q) repeats the password: %v", in, err)
		}
	}
}

func FuzzNormalizeURL(f *testing.F) {
	f.Add("http://h/a")
	f.Add("https://[::1]:80//")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := normalizeURL("f", in)
		if err != nil {
			return
		}
		if again, err := normalizeURL("f", got); err != nil || again != got {
			t.Errorf("%q → %q → %q, %v", in, got, again, err)
		}
	})
}

func TestNormalizeHeaders_RefusesWhatIsNotTheCallersToGive(t *testing.T) {
	got, err := normalizeHeaders("f", []string{"x-tenant", "ACCEPT-LANGUAGE"})
	if diff := cmp.Diff([]string{"X-Tenant", "Accept-Language"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, name := range append(append([]string{}, refusedHeaders...),
		"Proxy-Authorization", "Content-Length", "A2A-Version", "X-A2A-Extensions", "Signalbox-Delegation", "X-Signalbox-Agent", "X-Forwarded-For") {
		if _, err := normalizeHeaders("f", []string{strings.ToUpper(name)}); err == nil {
			t.Errorf("%s may be forwarded", name)
		}
	}
	if _, err := normalizeHeaders("f", []string{"x-a", "X-A"}); err == nil {
		t.Error("one header under two spellings is taken")
	}
}

func TestSlugAndTags_FitTheirPatterns(t *testing.T) {
	for in, want := range map[string]string{
		"Echo": "echo", "My  Agent!": "my-agent", "2nd": "agent-2nd", "": "agent", "日本": "agent", "--x--": "x",
		strings.Repeat("ab-", 40): strings.TrimRight(strings.Repeat("ab-", 21), "-"),
	} {
		if got := slug(in); got != want {
			t.Errorf("slug(%q) = %q, want %q", in, got, want)
		}
	}
	card := a2a.Card{Skills: []a2a.Skill{{Tags: []string{"A b", "a-b", "_x", "é", "", "v1.0"}}, {Tags: []string{"v1.0", strings.Repeat("y", 99)}}}}
	if diff := cmp.Diff([]string{"a-b", "x", "v1.0", strings.Repeat("y", 63)}, tagsOf(card)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestBaseOf(t *testing.T) {
	for in, want := range map[string]string{
		"http://h":                               "http://h",
		"http://h/agents/x":                      "http://h/agents/x",
		"http://h/x/.well-known/agent-card.json": "http://h/x",
		"http://h/.well-known/agent.json":        "http://h",
		"http://h/cards/echo.json":               "http://h/cards",
		"http://h/echo.json":                     "http://h",
	} {
		if got := baseOf(in); got != want {
			t.Errorf("baseOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseOrder(t *testing.T) {
	for in, want := range map[string]struct {
		order Order
		desc  bool
	}{"": {ByName, false}, "name": {ByName, false}, " create_time  desc ": {ByCreateTime, true}, "display_name asc": {ByDisplayName, false}} {
		order, desc, err := ParseOrder(in)
		if err != nil || order != want.order || desc != want.desc {
			t.Errorf("ParseOrder(%q) = %s, %t, %v", in, order, desc, err)
		}
	}
	for _, in := range []string{"uid", "name up", "name desc x", "name,update_time"} {
		if _, _, err := ParseOrder(in); err == nil {
			t.Errorf("ParseOrder(%q) is taken", in)
		}
	}
}

// fakes is a store with one agent without a card, and an agent that has none.
type fakes struct {
	Store
	mu    sync.Mutex
	agent Agent
	asked []time.Time
	card  []byte
}

func (f *fakes) AgentsWithoutCard(context.Context) ([]uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.agent.CardSource != CardNone {
		return nil, nil
	}
	return []uuid.UUID{f.agent.UID}, nil
}

func (f *fakes) AgentByUID(context.Context, uuid.UUID) (Agent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.agent, nil
}

func (f *fakes) UpdateAgent(_ context.Context, _ string, _ uuid.UUID, edit func(*Agent) (bool, error)) (Agent, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.agent
	if _, err := edit(&a); err != nil {
		return a, 0, err
	}
	f.agent = a
	return a, 1, nil
}

func (f *fakes) FetchCard(ctx context.Context, _ *Agent, _ string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	if f.card == nil {
		return nil, errors.New("none")
	}
	return f.card, nil
}

func (f *fakes) VerifyCard([]byte, []byte) (string, error) {
	return "", errors.New("nothing is signed here")
}

func (f *fakes) CheckKeys([]byte) error { return nil }

func (f *fakes) CheckURL(context.Context, string) error { return nil }

func TestRun_SearchesForAMissingCardEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{agent: Agent{UID: uuid.New(), ID: "a", CardSource: CardNone, Revision: 1, Endpoints: []Endpoint{{URL: "http://h"}}}}
		s, err := New(Config{Store: f, Cards: f, Addresses: f, Verifier: f, Seal: sealer(t)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		f.mu.Lock()
		var gaps []time.Duration
		for i := 1; i < len(f.asked); i++ {
			gaps = append(gaps, f.asked[i].Sub(f.asked[i-1]))
		}
		f.card = []byte(`{"name":"A","url":"http://x/","protocolVersion":"0.3.0"}`)
		f.mu.Unlock()
		want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute}
		if len(gaps) < len(want)+3 || !cmp.Equal(gaps[:len(want)], want) || gaps[len(gaps)-1] != 5*time.Minute {
			t.Errorf("searched with gaps %v, want %v and then 5m0s on and on", gaps, want)
		}
		time.Sleep(5*time.Minute + 5*time.Second)
		synctest.Wait()
		f.mu.Lock()
		if f.agent.CardSource != CardFetched || f.agent.Revision != 2 || len(f.agent.Warnings) != 0 {
			t.Errorf("after the card appeared: %+v", f.agent)
		}
		f.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// slow is an endpoint that never answers, but for one.
type slow struct{ good string }

func (s slow) FetchCard(ctx context.Context, _ *Agent, address string) ([]byte, error) {
	if address == s.good {
		return []byte(`{"name":"A","url":"http://x/"}`), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestFetchCard_OneHangingEndpointDoesNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{}
		s, err := New(Config{Store: f, Cards: slow{good: "http://c"}, Addresses: f, Verifier: f, Seal: sealer(t)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		found := s.fetchCard(t.Context(), &Agent{Endpoints: []Endpoint{{URL: "http://a"}, {URL: "http://b"}, {URL: "http://c"}}})
		if found.source != CardFetched || time.Since(began) > FetchTimeout {
			t.Errorf("found %v after %v", found.source, time.Since(began))
		}
		began = time.Now()
		found = s.fetchCard(t.Context(), &Agent{Endpoints: []Endpoint{{URL: "http://a"}, {URL: "http://b"}}})
		if found.source != CardNone || time.Since(began) > FetchTimeout || len(found.warnings) != 1 {
			t.Errorf("found %v after %v with %q", found.source, time.Since(began), found.warnings)
		}
	})
}

func TestUseCard_RefusesInterfacesThatTheAPICannotShow(t *testing.T) {
	card := func(url, tenant, binding string) []byte {
		return []byte(`{"name":"A","supportedInterfaces":[{"url":"http://x","protocolBinding":"JSONRPC","protocolVersion":"1.0"},{"url":"` + url +
			`","tenant":"` + tenant + `","protocolBinding":"` + binding + `","protocolVersion":"1.0"}]}`)
	}
	fits := func(n int) string { return strings.Repeat("é", n) }
	if found, err := useCard(card(fits(2000), fits(1000), fits(200)), CardInline); err != nil || len(found.interfaces) != 2 {
		t.Errorf("an interface at every bound: %d interfaces, %v", len(found.interfaces), err)
	}
	for name, raw := range map[string][]byte{
		"url":     card(fits(2001), "", "JSONRPC"),
		"tenant":  card("http://h", fits(1001), "JSONRPC"),
		"binding": card("http://h", "", fits(201)),
	} {
		_, err := useCard(raw, CardInline)
		if e, ok := errors.AsType[*CardError](err); !ok || !strings.Contains(e.Problem, name) || !strings.Contains(e.Problem, "interface 2") {
			t.Errorf("%s that is too long: %v", name, err)
		}
	}
}

func TestUseCard_ShowsLittleOfManyInterfacesAndLooksAtAll(t *testing.T) {
	many := func(n int, url string) []byte {
		one := `{"url":"` + url + `","protocolBinding":"GRPC","protocolVersion":"1.0"},`
		return []byte(`{"name":"A","supportedInterfaces":[` + strings.Repeat(one, n) +
			`{"url":"http://x","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`)
	}
	for name, tc := range map[string]struct {
		card []byte
		want int
	}{
		"many":           {many(200, "h:1"), maxInterfaces},
		"long addresses": {many(60, "http://"+strings.Repeat("x", 1989)), 8}, // with the binding 2000 bytes each
	} {
		found, err := useCard(tc.card, CardInline)
		if err != nil || len(found.interfaces) != tc.want || len(found.warnings) != 0 {
			t.Errorf("%s: shows %d interfaces with warnings %q, %v; want %d and none", name, len(found.interfaces), found.warnings, err, tc.want)
		}
	}
}

func TestChangeCard_TheSameCardLeavesItsSource(t *testing.T) {
	f := &fakes{card: []byte(`{"name":"New","url":"http://x/","protocolVersion":"0.3.0"}`)}
	s, err := New(Config{Store: f, Cards: f, Addresses: f, Verifier: f, Seal: sealer(t)})
	if err != nil {
		t.Fatal(err)
	}
	card := []byte(`{"name":"A","url":"http://x/","protocolVersion":"0.3.0"}`)
	was := Agent{UID: uuid.New(), ID: "a", CardSource: CardFetched, Card: card, Revision: 1, Endpoints: []Endpoint{{URL: "http://h", Weight: 1}}}
	given := append([]byte(nil), card...)
	next, err := s.change(t.Context(), was, Update{Card: &given})
	if err != nil || !same(was, next) {
		t.Errorf("giving the card that there is made %+v, %v", next, err)
	}
	// At new endpoints the agent's own card is looked for, as if none had been given.
	next, err = s.change(t.Context(), was, Update{Card: &given, Endpoints: &[]Endpoint{{URL: "http://new"}}})
	if err != nil || next.CardSource != CardFetched || string(next.Card) != string(f.card) || next.Revision != 2 {
		t.Errorf("with new endpoints: %+v, %v", next, err)
	}
	other := []byte(`{"name":"Mine","url":"http://x/"}`)
	if next, err = s.change(t.Context(), was, Update{Card: &other}); err != nil || next.CardSource != CardInline {
		t.Errorf("another card: %+v, %v", next, err)
	}
}
