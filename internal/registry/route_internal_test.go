package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// dialects reads a list of them.
func dialects(t *testing.T, text string) []a2a.Dialect {
	t.Helper()
	var all []a2a.Dialect
	for name := range strings.FieldsSeq(text) {
		d, ok := a2a.ParseDialect(name)
		if !ok {
			t.Fatalf("%q is no dialect", name)
		}
		all = append(all, d)
	}
	return all
}

// cardOf makes a card with interfaces, each at a port of its own.
func cardOf(dialects []a2a.Dialect) []byte {
	entries := make([]string, len(dialects))
	for i, d := range dialects {
		entries[i] = `{"url":"http://card:` + string(rune('1'+i)) + `/x","protocolBinding":"` + d.Binding.String() +
			`","protocolVersion":"` + d.Version.String() + `"}`
	}
	return []byte(`{"name":"A","supportedInterfaces":[` + strings.Join(entries, ",") + `]}`)
}

func TestRoute_ServesEachCallerByTheNearestInterface(t *testing.T) {
	tests := map[string]struct {
		offered, preferred string
		// want is what serves the callers of each of a2a.Dialects.
		want string
	}{
		"one interface serves all": {"GRPC/0.3", "", "GRPC/0.3 GRPC/0.3 GRPC/0.3 GRPC/0.3 GRPC/0.3 GRPC/0.3"},
		"each by its own": {
			"GRPC/0.3 HTTP+JSON/0.3 JSONRPC/0.3 GRPC/1.0 HTTP+JSON/1.0 JSONRPC/1.0", "",
			"JSONRPC/1.0 HTTP+JSON/1.0 GRPC/1.0 JSONRPC/0.3 HTTP+JSON/0.3 GRPC/0.3",
		},
		"the version before the binding": {
			"GRPC/0.3 HTTP+JSON/1.0", "",
			"HTTP+JSON/1.0 HTTP+JSON/1.0 HTTP+JSON/1.0 GRPC/0.3 GRPC/0.3 GRPC/0.3",
		},
		"JSON-RPC before REST before gRPC": {
			"GRPC/1.0 HTTP+JSON/1.0", "",
			"HTTP+JSON/1.0 HTTP+JSON/1.0 GRPC/1.0 HTTP+JSON/1.0 HTTP+JSON/1.0 GRPC/1.0",
		},
		"the binding in the other version": {
			"JSONRPC/1.0 GRPC/1.0", "",
			"JSONRPC/1.0 JSONRPC/1.0 GRPC/1.0 JSONRPC/1.0 JSONRPC/1.0 GRPC/1.0",
		},
		"a preference whatever the caller speaks": {
			"JSONRPC/1.0 GRPC/1.0 JSONRPC/0.3", "HTTP+JSON/1.0 GRPC/1.0 JSONRPC/1.0",
			"GRPC/1.0 GRPC/1.0 GRPC/1.0 GRPC/1.0 GRPC/1.0 GRPC/1.0",
		},
		"a preference that is not offered": {
			"JSONRPC/1.0 JSONRPC/0.3", "GRPC/1.0",
			"JSONRPC/1.0 JSONRPC/1.0 JSONRPC/1.0 JSONRPC/0.3 JSONRPC/0.3 JSONRPC/0.3",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			offered := dialects(t, tc.offered)
			r := ReadRoute(&Agent{
				Card: cardOf(offered), Endpoints: []Endpoint{{URL: "http://h"}}, PreferredDialects: dialects(t, tc.preferred),
			})
			if diff := cmp.Diff(offered, r.Dialects()); diff != "" {
				t.Errorf("dialects (-want +got):\n%s", diff)
			}
			var got []string
			for _, down := range a2a.Dialects {
				up, ok := r.For(down)
				if !ok || !r.Serves(down) {
					t.Fatalf("callers of %s are not served", down)
				}
				got = append(got, up.Dialect.String())
			}
			if diff := cmp.Diff(strings.Fields(tc.want), got); diff != "" {
				t.Errorf("served by (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoute_WithoutACardIsJSONRPC10AndWithoutAnInterfaceIsNone(t *testing.T) {
	r := ReadRoute(&Agent{Endpoints: []Endpoint{{URL: "http://h/base"}}, PreferredDialects: dialects(t, "GRPC/1.0")})
	up, ok := r.For(dialects(t, "GRPC/0.3")[0])
	if !ok || up.Dialect.String() != "JSONRPC/1.0" || up.URLs[0].String() != "http://h/base" || r.HasCard {
		t.Errorf("without a card: %+v, %t", up, ok)
	}
	r = ReadRoute(&Agent{
		Card:      []byte(`{"name":"A","supportedInterfaces":[{"url":"http://h","protocolBinding":"https://soap.example"},{"url":"http://h","protocolBinding":"JSONRPC","protocolVersion":"2.0"}]}`),
		Endpoints: []Endpoint{{URL: "http://h"}},
	})
	for _, down := range a2a.Dialects {
		if up, ok := r.For(down); ok || r.Serves(down) {
			t.Errorf("%s is served by %v", down, up)
		}
	}
	if up, ok := r.For(a2a.Dialect{}); ok {
		t.Errorf("no dialect is served by %v", up)
	}
}

func TestReadRoute_DialsGRPCAtAnAuthority(t *testing.T) {
	tests := []struct {
		named    string
		endpoint string
		trusted  string // with trust_card_authority; "" means the endpoint's
	}{
		{"card:50051", "http://h:8080/base", "http://card:50051"},
		{"card:50051", "https://h/base", "https://card:50051"},
		{"127.0.0.1:50051", "http://h", "http://127.0.0.1:50051"},
		{"[::1]:50051", "http://h", "http://[::1]:50051"},
		{"dns:///card:50051", "http://h", "http://card:50051"},
		{"dns://8.8.8.8/card:50051", "http://h", "http://card:50051"},
		{"dns:card:50051", "http://h", "http://card:50051"},
		{"http://card:50051/ignored", "https://h", "http://card:50051"},
		{"https://card", "http://h", "https://card"},
		{"HTTPS://card:1", "http://h", "https://card:1"},
		{"grpcs://card:1", "http://h", "https://card:1"},
		{"card", "http://h", "http://card"},
		{"", "http://h", ""},
		{"/path", "http://h", ""},
		{"unix:///socket", "http://h", ""},
		{"ftp://card:1", "http://h", ""},
		{"http://user:secret@card:1", "http://h", ""},
		{"a b:1", "http://h", ""},
	}
	for _, tc := range tests {
		card := `{"name":"A","supportedInterfaces":[{"url":"` + tc.named + `","protocolBinding":"GRPC","protocolVersion":"1.0","tenant":"t"}]}`
		base := strings.TrimSuffix(tc.endpoint, "/base")
		for trust, want := range map[bool]string{false: base, true: tc.trusted} {
			if want == "" {
				want = base
			}
			r := ReadRoute(&Agent{Card: []byte(card), Endpoints: []Endpoint{{URL: tc.endpoint}}, TrustCardAuthority: trust})
			if got := r.Interfaces[0].URLs[0].String(); got != want || r.Interfaces[0].Tenant != "t" {
				t.Errorf("%q at %s with trust %t is dialled at %s, want %s", tc.named, tc.endpoint, trust, got, want)
			}
		}
	}
}

func TestReadRoute_TakesOneInterfaceOfEachDialectForEveryEndpoint(t *testing.T) {
	card := `{"name":"A","url":"http://card/k","protocolVersion":"0.3.0","additionalInterfaces":[{"url":"http://card/v3","transport":"HTTP+JSON"}],
		"supportedInterfaces":[{"url":"http://card/a","protocolBinding":"HTTP+JSON","protocolVersion":"1.0"},{"url":"http://card/b","protocolBinding":"HTTP+JSON","protocolVersion":"1.0"}]}`
	r := ReadRoute(&Agent{Card: []byte(card), Endpoints: []Endpoint{{URL: "http://one:1"}, {URL: "https://two"}}})
	got := map[string][]string{}
	for _, i := range r.Interfaces {
		for _, u := range i.URLs {
			got[i.Dialect.String()] = append(got[i.Dialect.String()], u.String())
		}
	}
	want := map[string][]string{
		"HTTP+JSON/1.0": {"http://one:1/a", "https://two/a"},
		"JSONRPC/0.3":   {"http://one:1/k", "https://two/k"},
		"HTTP+JSON/0.3": {"http://one:1/v3", "https://two/v3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestNotes_NameThePortsThatAnEndpointDoesNotStandFor(t *testing.T) {
	face := func(binding, url string) Interface { return Interface{Binding: binding, Version: "1.0", URL: url} }
	tests := map[string]struct {
		endpoint string
		faces    []Interface
		want     []string // parts of the warnings
	}{
		"another host":              {"http://h:8080", []Interface{face("JSONRPC", "http://localhost:8080/rpc")}, nil},
		"the preset port":           {"https://h", []Interface{face("GRPC", "h:443")}, nil},
		"behind a proxy":            {"https://h", []Interface{face("JSONRPC", "http://localhost:8000/a"), face("HTTP+JSON", "http://localhost:8000/b")}, nil},
		"behind a proxy, with gRPC": {"https://h", []Interface{face("JSONRPC", "http://localhost:8000/a"), face("GRPC", "localhost:8000")}, nil},
		"gRPC beside the card":      {"http://h:8080", []Interface{face("GRPC", "h:50051")}, []string{"GRPC/1.0 at h:50051, calls go to h:8080;"}},
		"gRPC apart": {
			"http://h:8080",
			[]Interface{face("JSONRPC", "http://h:8080"), face("GRPC", "dns:///[::1]:50051")},
			[]string{"GRPC/1.0 at [::1]:50051, calls go to h:8080;"},
		},
		"two ports of HTTP": {
			"http://h:1",
			[]Interface{face("JSONRPC", "http://h:1"), face("HTTP+JSON", "http://h:2"), face("GRPC", "h:2")},
			[]string{"HTTP+JSON/1.0, GRPC/1.0 at h:2, calls go to h:1;"},
		},
		"never called":      {"http://h:1", []Interface{face("GRPC", "h:1"), face("GRPC", "h:2"), face("https://soap.example", "http://h:3")}, nil},
		"no address at all": {"http://h:1", []Interface{face("GRPC", ""), face("JSONRPC", "/rpc")}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := Agent{CardSource: CardInline, Interfaces: tc.faces, Endpoints: []Endpoint{{URL: tc.endpoint}}, Warnings: []string{"stored"}}
			got := a.Notes()
			if len(got) != 1+len(tc.want) || got[0] != "stored" {
				t.Fatalf("notes %q, want the stored one and %d", got, len(tc.want))
			}
			for i, part := range tc.want {
				if !strings.Contains(got[i+1], part) || !strings.Contains(got[i+1], "trust_card_authority") {
					t.Errorf("note %q, want %q in it", got[i+1], part)
				}
			}
			a.TrustCardAuthority = true
			if got := a.Notes(); len(got) != 1 {
				t.Errorf("with trust there are notes %q", got)
			}
		})
	}
}

func TestNotes_TellWhenAPreferenceDoesNothing(t *testing.T) {
	a := Agent{
		CardSource: CardInline, Interfaces: []Interface{{Binding: "JSONRPC", Version: "1.0", URL: "http://h"}}, Endpoints: []Endpoint{{URL: "http://h"}},
		PreferredDialects: dialects(t, "GRPC/1.0 GRPC/0.3"),
	}
	if got := a.Notes(); len(got) != 1 || !strings.Contains(got[0], "preferred_dialects; it offers JSONRPC/1.0") {
		t.Errorf("notes %q", got)
	}
	a.PreferredDialects = append(a.PreferredDialects, dialects(t, "JSONRPC/1.0")...)
	if got := a.Notes(); len(got) != 0 {
		t.Errorf("notes %q, want none", got)
	}
}

func TestParseDialects_RefusesWithWords(t *testing.T) {
	for _, names := range [][]string{{"grpc/1.0"}, {"GRPC"}, {"GRPC/1.0.0"}, {""}, {"GRPC/1.0", "GRPC/1.0"}} {
		got, err := parseDialects("agent.preferred_dialects", names)
		if err == nil || !strings.HasPrefix(err.Error(), "agent.preferred_dialects[") {
			t.Errorf("parseDialects(%q) = %v, %v", names, got, err)
		}
	}
	if got, err := parseDialects("f", []string{"HTTP+JSON/0.3", "GRPC/1.0"}); err != nil || len(got) != 2 || got[0].String() != "HTTP+JSON/0.3" {
		t.Errorf("parseDialects = %v, %v", got, err)
	}
}

func TestVerification_OfAnAgentStoredBefore(t *testing.T) {
	for card, want := range map[string]CardVerificationState{
		"":                      "",
		`{"name":"A"}`:          CardUnsigned,
		`{"signatures":[{}]}`:   CardNoKey,
		`{"signatures":[]}`:     CardUnsigned,
		`{"signatures":"none"}`: CardUnsigned,
	} {
		a := Agent{Card: []byte(card)}
		if got := a.Verification().State; got != want {
			t.Errorf("%s is %q, want %q", card, got, want)
		}
	}
}

func TestReadRoute_OfAVerifiedCardOnlyWhatWasSignedIsCalled(t *testing.T) {
	a := &Agent{
		Endpoints: []Endpoint{{URL: "http://agent.example"}},
		Card: []byte(`{"name":"a","supportedInterfaces":[{"url":"http://agent.example/new","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
			`"protocolVersion":"0.3.0","url":"http://agent.example/old","signatures":[{}]}`),
	}
	for state, want := range map[CardVerificationState]int{CardNoKey: 2, CardVerified: 1} {
		a.CardVerification.State = state
		if route := ReadRoute(a); len(route.Interfaces) != want {
			t.Errorf("%s: %d interfaces, want %d", state, len(route.Interfaces), want)
		}
	}
}
