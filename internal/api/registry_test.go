package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// agentServer serves a card once there is one.
func agentServer(t *testing.T) (url string, setCard func(string)) {
	t.Helper()
	var card atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := card.Load()
		if text == nil || r.URL.Path != "/.well-known/agent-card.json" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(*text))
	}))
	t.Cleanup(server.Close)
	return server.URL, func(text string) { card.Store(&text) }
}

func TestCreateAgent_WorksAtOnceAndKeepsTheCardByteForByte(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	card := " {\"name\" : \"Echo\", \"x\":12345678901234567890, \"supportedInterfaces\":[{\"url\":\"http://h/rpc\",\"protocolBinding\":\"JSONRPC\",\"protocolVersion\":\"1.0\"}]}\n"
	got, err := p.as(secret).CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "echo", Agent: &registryv1.Agent{
		DisplayName: "Echo", Endpoints: []*registryv1.Endpoint{{Url: "http://Example.COM:8080/base//"}}, CardJson: []byte(card),
		ForwardHeaders: []string{"x-tenant"}, Aliases: []string{"Echo.v2", "Echo"}, Tags: []string{"b", "a"},
		PreferredDialects: []string{"JSONRPC/0.3", "JSONRPC/1.0"},
		Push:              registryv1.PushMode_PUSH_MODE_DIRECT, PushAllowedHosts: []string{"Hooks.Example.com"},
	}})
	must(t, err)
	if string(got.GetCardJson()) != card {
		t.Errorf("card %q, want %q", got.GetCardJson(), card)
	}
	want := &registryv1.Agent{
		Name: "agents/echo", Team: "teams/demo", DisplayName: "Echo", Tags: []string{"b", "a"}, Aliases: []string{"Echo", "Echo.v2"},
		Visibility: registryv1.Visibility_VISIBILITY_TEAM, State: registryv1.State_STATE_APPROVED,
		Endpoints: []*registryv1.Endpoint{{Url: "http://example.com:8080/base", Weight: 1}}, CardSource: registryv1.CardSource_CARD_SOURCE_INLINE,
		Interfaces: []*registryv1.Interface{{Binding: "JSONRPC", Version: "1.0", Url: "http://h/rpc"}},
		Push:       registryv1.PushMode_PUSH_MODE_DIRECT, PushAllowedHosts: []string{"hooks.example.com"},
		ForwardHeaders: []string{"X-Tenant"}, Revision: 1,
		PreferredDialects: []string{"JSONRPC/0.3", "JSONRPC/1.0"}, CardShape: registryv1.CardShape_CARD_SHAPE_AUTO,
		CardVerification: &registryv1.CardVerification{State: registryv1.CardVerificationState_CARD_VERIFICATION_STATE_UNSIGNED},
		Routes: []*registryv1.Route{
			{Dialect: "JSONRPC/1.0", Address: "/a2a/echo", UpstreamDialect: "JSONRPC/1.0"},
			{Dialect: "HTTP+JSON/1.0", Address: "/a2a/echo", UpstreamDialect: "JSONRPC/1.0", Translated: true},
			{Dialect: "GRPC/1.0", Selector: "tenant=echo", UpstreamDialect: "JSONRPC/1.0", Translated: true},
			{Dialect: "JSONRPC/0.3", Address: "/a2a/echo", UpstreamDialect: "JSONRPC/1.0", Translated: true},
			{Dialect: "HTTP+JSON/0.3", Address: "/a2a/echo", UpstreamDialect: "JSONRPC/1.0", Translated: true},
			{Dialect: "GRPC/0.3", Selector: "x-signalbox-agent=echo", UpstreamDialect: "JSONRPC/1.0", Translated: true},
		},
	}
	ignore := protocmp.IgnoreFields(&registryv1.Agent{}, "uid", "etag", "create_time", "update_time", "card_json")
	if diff := cmp.Diff(want, got, protocmp.Transform(), ignore); diff != "" {
		t.Errorf("created agent (-want +got):\n%s", diff)
	}
	for _, name := range []string{"echo", "Echo", "Echo.v2"} {
		if _, ok := p.follower.Current().Agent(name); !ok {
			t.Errorf("the served snapshot has no agent %q right after create", name)
		}
	}
	read, err := p.as(secret).GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/echo"})
	must(t, err)
	if diff := cmp.Diff(got, read, protocmp.Transform()); diff != "" {
		t.Errorf("get differs from create (-create +get):\n%s", diff)
	}
}

func TestCreateAgent_FetchesTheCardAndSearchesOnUntilThereIsOne(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	url, setCard := agentServer(t)
	a, err := p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "late", Agent: &registryv1.Agent{
		Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: url}},
	}})
	must(t, err)
	if a.GetCardSource() != registryv1.CardSource_CARD_SOURCE_NONE || len(a.GetWarnings()) != 1 || !strings.Contains(a.GetWarnings()[0], url) {
		t.Fatalf("without a card: source %v, warnings %q; want NONE and one line that names %s", a.GetCardSource(), a.GetWarnings(), url)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var searchers sync.WaitGroup
	for range 3 { // as many replicas
		searchers.Go(func() {
			if err := p.registry.Run(ctx); err != nil {
				t.Errorf("search: %v", err)
			}
		})
	}
	setCard(plainCard)
	var found *registryv1.Agent
	eventually(t, "the card", func() bool {
		found, err = p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/late"})
		must(t, err)
		return found.GetCardSource() == registryv1.CardSource_CARD_SOURCE_FETCHED
	})
	cancel()
	searchers.Wait()
	found, err = p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/late"})
	must(t, err)
	if string(found.GetCardJson()) != plainCard || len(found.GetWarnings()) != 0 || found.GetRevision() != 2 {
		t.Errorf("found card %q, warnings %q, revision %d; want the agent's own, none, 2", found.GetCardJson(), found.GetWarnings(), found.GetRevision())
	}

	early, err := p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "early", Agent: &registryv1.Agent{
		Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: url}},
	}})
	must(t, err)
	if early.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED || string(early.GetCardJson()) != plainCard {
		t.Errorf("with a card: %v %q; want FETCHED and the agent's own", early.GetCardSource(), early.GetCardJson())
	}
}

func TestCreateAgent_RefusesWithAReason(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.agent(t, "demo", "taken", func(a *registryv1.Agent) { a.Aliases = []string{"also-taken"} })
	good := func() *registryv1.Agent {
		return &registryv1.Agent{
			Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:9"}}, CardJson: []byte(plainCard),
		}
	}
	object, err := structpb.NewStruct(map[string]any{"name": "x"})
	must(t, err)
	endpoint := func(url string) func(*registryv1.Agent) {
		return func(a *registryv1.Agent) { a.Endpoints = []*registryv1.Endpoint{{Url: url}} }
	}
	header := func(name string) func(*registryv1.Agent) {
		return func(a *registryv1.Agent) { a.ForwardHeaders = []string{name} }
	}
	type row struct {
		edit   func(*registryv1.Agent)
		code   connect.Code
		reason string
		field  string
	}
	const bad, invalid = connect.CodeInvalidArgument, "INVALID_ARGUMENT"
	tests := map[string]row{
		"no team":           {func(a *registryv1.Agent) { a.Team = "" }, bad, invalid, "agent.team"},
		"unknown team":      {func(a *registryv1.Agent) { a.Team = "teams/none" }, connect.CodeNotFound, "TEAM_NOT_FOUND", ""},
		"no endpoint":       {func(a *registryv1.Agent) { a.Endpoints = nil }, bad, invalid, "agent.endpoints"},
		"port too high":     {endpoint("http://host:99999"), bad, invalid, "agent.endpoints[0].url"},
		"port zero":         {endpoint("http://host:0"), bad, invalid, "agent.endpoints[0].url"},
		"user info":         {endpoint("http://u:p@host"), bad, invalid, "agent.endpoints[0].url"},
		"fragment":          {endpoint("http://host/#x"), bad, invalid, "agent.endpoints[0].url"},
		"query":             {endpoint("http://host/?x=1"), bad, invalid, "agent.endpoints[0].url"},
		"other scheme":      {endpoint("ftp://host"), bad, invalid, "agent.endpoints[0].url"},
		"no host":           {endpoint("http:///path"), bad, invalid, "agent.endpoints[0].url"},
		"forbidden address": {endpoint("http://forbidden.internal"), bad, "ADDRESS_FORBIDDEN", "agent.endpoints[0].url"},
		"endpoint twice": {func(a *registryv1.Agent) {
			a.Endpoints = []*registryv1.Endpoint{{Url: "http://h"}, {Url: "http://H/"}}
		}, bad, invalid, "agent.endpoints[1].url"},
		"credential header": {header("Authorization"), bad, invalid, "agent.forward_headers[0]"},
		"hop-by-hop header": {header("Transfer-Encoding"), bad, invalid, "agent.forward_headers[0]"},
		"content header":    {header("content-md5"), bad, invalid, "agent.forward_headers[0]"},
		"own header":        {header("Signalbox-Delegation"), bad, invalid, "agent.forward_headers[0]"},
		"trace header":      {header("TraceParent"), bad, invalid, "agent.forward_headers[0]"},
		"NUL in a name":     {func(a *registryv1.Agent) { a.DisplayName = "a\x00" }, bad, invalid, "agent.display_name"},
		"escape in a text":  {func(a *registryv1.Agent) { a.Description = "line\n\x1b[2J" }, bad, invalid, "agent.description"},
		"own alias":         {func(a *registryv1.Agent) { a.Aliases = []string{"fresh"} }, bad, invalid, "agent.aliases[0]"},
		"alias taken":       {func(a *registryv1.Agent) { a.Aliases = []string{"also-taken"} }, connect.CodeAlreadyExists, "AGENT_EXISTS", ""},
		"alias is a name":   {func(a *registryv1.Agent) { a.Aliases = []string{"taken"} }, connect.CodeAlreadyExists, "AGENT_EXISTS", ""},
		"push nowhere":      {func(a *registryv1.Agent) { a.Push = registryv1.PushMode_PUSH_MODE_DIRECT }, bad, invalid, "agent.push_allowed_hosts"},
		"two cards":         {func(a *registryv1.Agent) { a.Card = object }, bad, invalid, "agent.card"},
		"card is a list":    {func(a *registryv1.Agent) { a.CardJson = []byte(`[]`) }, bad, "CARD_INVALID", ""},
		"card is HTML":      {func(a *registryv1.Agent) { a.CardJson = []byte(`<html>`) }, bad, "CARD_INVALID", ""},
		"card says nothing": {func(a *registryv1.Agent) { a.CardJson = []byte(`{}`) }, bad, "CARD_INVALID", ""},
		"trusted card names a forbidden address": {func(a *registryv1.Agent) {
			a.TrustCardAuthority = true
			a.CardJson = []byte(strings.ReplaceAll(plainCard, "127.0.0.1:9", "forbidden"))
		}, bad, "ADDRESS_FORBIDDEN", "agent.trust_card_authority"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := good()
			tc.edit(a)
			_, err := p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "fresh", Agent: a})
			info := refused(t, err, tc.code, tc.reason)
			if tc.field != "" && info.GetMetadata()["field"] != tc.field {
				t.Errorf("%v names field %q, want %q", err, info.GetMetadata()["field"], tc.field)
			}
		})
	}
	_, err = p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "also-taken", Agent: &registryv1.Agent{
		Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:9"}}, CardJson: []byte(plainCard),
	}})
	refused(t, err, connect.CodeAlreadyExists, "AGENT_EXISTS")
}

func TestCreateAgent_CardWithoutAnythingSpokenIsTakenWithAWarning(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	a := p.agent(t, "demo", "soap", func(a *registryv1.Agent) {
		a.CardJson = []byte(`{"name":"G","supportedInterfaces":[{"url":"http://h","protocolBinding":"https://soap.example","protocolVersion":"1.0"}]}`)
	})
	if len(a.GetWarnings()) != 1 || !strings.Contains(a.GetWarnings()[0], "not callable") || len(a.GetRoutes()) != 0 {
		t.Errorf("warnings %q, routes %v; want one that it is not callable, and none", a.GetWarnings(), a.GetRoutes())
	}
}

func TestUpdateAgent_ChangesWhatTheMaskNames(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	url, setCard := agentServer(t)
	setCard(plainCard)
	before := p.agent(t, "demo", "echo", func(a *registryv1.Agent) {
		a.Endpoints[0].Url = url
		a.Tags = []string{"a"}
		a.Aliases = []string{"one", "two"}
		a.CardJson = []byte(`{"name":"Inline","url":"http://x/","protocolVersion":"0.3.0"}`)
	})
	update := func(a *registryv1.Agent, paths ...string) *registryv1.Agent {
		t.Helper()
		a.Name = "agents/echo"
		got, err := p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: a, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		must(t, err)
		return got
	}
	got := update(&registryv1.Agent{DisplayName: "New", Description: "ignored"}, "display_name", "tags")
	if got.GetDisplayName() != "New" || got.GetDescription() != "" || len(got.GetTags()) != 0 || got.GetRevision() != 1 || got.GetEtag() == before.GetEtag() {
		t.Errorf("masked update made %v", got)
	}
	got = update(&registryv1.Agent{Description: "set", Aliases: []string{"two", "three"}})
	if got.GetDisplayName() != "New" || got.GetDescription() != "set" || !slices.Equal(got.GetAliases(), []string{"three", "two"}) {
		t.Errorf("update with an empty mask made %v", got)
	}
	if _, ok := p.follower.Current().Agent("one"); ok {
		t.Error("an alias that was taken away still leads to the agent")
	}
	got = update(&registryv1.Agent{}, "card")
	if got.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED || string(got.GetCardJson()) != plainCard || got.GetRevision() != 2 {
		t.Errorf("giving up the inline card made source %v, revision %d, card %s", got.GetCardSource(), got.GetRevision(), got.GetCardJson())
	}
	// Get, change, update without a mask.
	read, err := p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/echo"})
	must(t, err)
	read.Description = "read and written back"
	got = update(read)
	if got.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED || got.GetDescription() != read.GetDescription() || got.GetRevision() != 2 {
		t.Errorf("writing back what was read made source %v, revision %d, description %q", got.GetCardSource(), got.GetRevision(), got.GetDescription())
	}
	update(&registryv1.Agent{Description: "set"}, "description")
	got = update(&registryv1.Agent{Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:1"}}}, "endpoints")
	if got.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED || len(got.GetWarnings()) != 1 || got.GetRevision() != 3 {
		t.Errorf("new endpoints without a card made source %v, warnings %q, revision %d", got.GetCardSource(), got.GetWarnings(), got.GetRevision())
	}
	revision := p.follower.Current().Revision()
	same := update(&registryv1.Agent{Description: "set"}, "description")
	if same.GetEtag() != got.GetEtag() || p.follower.Current().Revision() != revision {
		t.Error("an update that changes nothing made a new etag or revision")
	}

	_, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
		Agent: &registryv1.Agent{Name: "agents/echo", Team: "teams/other"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"team"}},
	})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_UPDATE_MASK")
	_, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{DisplayName: "x"}})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/none", DisplayName: "x"}})
	refused(t, err, connect.CodeNotFound, "AGENT_NOT_FOUND")
	_, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/echo", DisplayName: "x", Etag: before.GetEtag()}})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
}

func TestUpdateAgent_OneOfManyWithTheSameEtagWins(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	a := p.agent(t, "demo", "echo")
	var won, lost atomic.Int32
	var racers sync.WaitGroup
	for i := range 8 {
		racers.Go(func() {
			_, err := p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
				Agent: &registryv1.Agent{Name: a.GetName(), DisplayName: fmt.Sprint(i), Etag: a.GetEtag()},
			})
			switch {
			case err == nil:
				won.Add(1)
			case connect.CodeOf(err) == connect.CodeAborted:
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d writers won and %d lost, want 1 and 7", won.Load(), lost.Load())
	}
}

func TestUpdateAgent_WithoutEtagsNoWriteIsLost(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.agent(t, "demo", "echo")
	var racers sync.WaitGroup
	for _, field := range []func(*registryv1.Agent){
		func(a *registryv1.Agent) { a.DisplayName = "D" },
		func(a *registryv1.Agent) { a.Description = "E" },
		func(a *registryv1.Agent) { a.Tags = []string{"t"} },
		func(a *registryv1.Agent) { a.Aliases = []string{"al"} },
	} {
		racers.Go(func() {
			a := &registryv1.Agent{Name: "agents/echo"}
			field(a)
			if _, err := p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: a}); err != nil {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	got, err := p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/echo"})
	must(t, err)
	if got.GetDisplayName() != "D" || got.GetDescription() != "E" || len(got.GetTags()) != 1 || len(got.GetAliases()) != 1 {
		t.Errorf("after concurrent updates of different fields: %v", got)
	}
}

func TestDeleteAgent_FreesItsNames(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	a := p.agent(t, "demo", "echo", func(a *registryv1.Agent) { a.Aliases = []string{"other"} })
	_, err := p.admin().DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: "agents/echo", Etag: "old"})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = p.admin().DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: "agents/echo", Etag: a.GetEtag()})
	must(t, err)
	for _, name := range []string{"echo", "other"} {
		if _, ok := p.follower.Current().Agent(name); ok {
			t.Errorf("the served snapshot has agent %q right after its end", name)
		}
	}
	_, err = p.admin().DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: "agents/echo"})
	refused(t, err, connect.CodeNotFound, "AGENT_NOT_FOUND")
	if again := p.agent(t, "demo", "other"); again.GetUid() == a.GetUid() {
		t.Error("a uid was used again")
	}
}

func TestListAgents_FiltersOrdersAndPages(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.team(t, "other")
	for i, id := range []string{"alpha", "beta", "delta", "gamma"} {
		p.agent(t, "demo", id, func(a *registryv1.Agent) {
			a.DisplayName = []string{"Same", "Same", "First", "same_%"}[i]
			a.Tags = []string{"all", fmt.Sprintf("n%d", i)}
			if id == "beta" {
				a.Visibility = registryv1.Visibility_VISIBILITY_PUBLIC
			}
		})
	}
	p.agent(t, "other", "omega")
	list := func(filter, order string) []string {
		t.Helper()
		var names []string
		token := ""
		for range 20 {
			res, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{Filter: filter, OrderBy: order, PageSize: 2, PageToken: token})
			must(t, err)
			for _, a := range res.GetAgents() {
				if len(a.GetCardJson()) > 0 || len(a.GetInterfaces()) != 1 {
					t.Errorf("list shows %d bytes of card and %d interfaces, want 0 and 1", len(a.GetCardJson()), len(a.GetInterfaces()))
				}
				names = append(names, strings.TrimPrefix(a.GetName(), "agents/"))
			}
			if token = res.GetNextPageToken(); token == "" {
				return names
			}
		}
		t.Fatal("the list has no end")
		return nil
	}
	tests := []struct {
		filter, order string
		want          []string
	}{
		{"", "", []string{"alpha", "beta", "delta", "gamma", "omega"}},
		{"", "name desc", []string{"omega", "gamma", "delta", "beta", "alpha"}},
		{"", "create_time desc", []string{"omega", "gamma", "delta", "beta", "alpha"}},
		{"", "update_time", []string{"alpha", "beta", "delta", "gamma", "omega"}},
		{`display_name = "Same"`, "display_name", []string{"alpha", "beta"}},
		{`display_name != Same AND team = teams/demo`, "", []string{"delta", "gamma"}},
		{`display_name : "SAME"`, "", []string{"alpha", "beta", "gamma"}},
		{`display_name : "_%"`, "", []string{"gamma"}},
		{`team = "teams/other"`, "", []string{"omega"}},
		{`name = "agents/beta"`, "", []string{"beta"}},
		{`name >= agents/delta AND name < agents/omega`, "", []string{"delta", "gamma"}},
		{`name : agents/`, "", []string{"alpha", "beta", "delta", "gamma", "omega"}},
		{`visibility = VISIBILITY_PUBLIC`, "", []string{"beta"}},
		{`visibility = PUBLIC AND state = APPROVED AND push = OFF`, "", []string{"beta"}},
		{`tags : n2`, "", []string{"delta"}},
		{`tags : all AND visibility != PUBLIC`, "", []string{"alpha", "delta", "gamma"}},
		{`create_time > 2000-01-01T00:00:00Z`, "", []string{"alpha", "beta", "delta", "gamma", "omega"}},
		{`update_time < 2000-01-01T00:00:00Z`, "", nil},
		{`name = "agents/x' OR true --"`, "", nil},
	}
	for _, tc := range tests {
		if diff := cmp.Diff(tc.want, list(tc.filter, tc.order)); diff != "" {
			t.Errorf("filter %q, order %q (-want +got):\n%s", tc.filter, tc.order, diff)
		}
	}
	refusals := []struct {
		req    *registryv1.ListAgentsRequest
		reason string
	}{
		{&registryv1.ListAgentsRequest{Filter: "colour = red"}, "INVALID_FILTER"},
		{&registryv1.ListAgentsRequest{Filter: "name ="}, "INVALID_FILTER"},
		{&registryv1.ListAgentsRequest{OrderBy: "uid"}, "INVALID_ORDER"},
		{&registryv1.ListAgentsRequest{OrderBy: "name down"}, "INVALID_ORDER"},
		{&registryv1.ListAgentsRequest{PageToken: "nonsense"}, "INVALID_PAGE_TOKEN"},
		{&registryv1.ListAgentsRequest{PageSize: 251}, "INVALID_ARGUMENT"},
	}
	for _, tc := range refusals {
		_, err := p.admin().ListAgents(t.Context(), tc.req)
		refused(t, err, connect.CodeInvalidArgument, tc.reason)
	}
}

func TestListAgents_PagesAreStableWhileAgentsComeAndGo(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	for i := range 6 {
		p.agent(t, "demo", fmt.Sprintf("a%d", i))
	}
	var seen []string
	token := ""
	for page := 0; ; page++ {
		res, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 2, PageToken: token})
		must(t, err)
		for _, a := range res.GetAgents() {
			seen = append(seen, a.GetName())
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
		// Before the place that was reached, and the place itself.
		p.agent(t, "demo", fmt.Sprintf("a0-%d", page))
		_, err = p.admin().DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: seen[len(seen)-1]})
		must(t, err)
	}
	want := []string{"agents/a0", "agents/a1", "agents/a2", "agents/a3", "agents/a4", "agents/a5"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestListAgents_TokenIsBoundToFilterOrderAndCaller(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	for i := range 3 {
		p.agent(t, "demo", fmt.Sprintf("a%d", i))
	}
	res, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 1})
	must(t, err)
	token := res.GetNextPageToken()
	for name, call := range map[string]func() error{
		"other filter": func() error {
			_, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 1, PageToken: token, Filter: "tags:x"})
			return err
		},
		"other order": func() error {
			_, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 1, PageToken: token, OrderBy: "name desc"})
			return err
		},
		"other caller": func() error {
			_, err := p.as(secret).ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 1, PageToken: token})
			return err
		},
		"changed": func() error {
			changed := []byte(token)
			changed[len(changed)-3] ^= 1
			_, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{PageSize: 1, PageToken: string(changed)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { refused(t, call(), connect.CodeInvalidArgument, "INVALID_PAGE_TOKEN") })
	}
}

func TestImportAgent_MakesAnAgentOfACard(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	url, setCard := agentServer(t)
	setCard(strings.ReplaceAll(strings.ReplaceAll(plainCard, "http://127.0.0.1:9", url), `"Echo"`, `"Mein Echo 2!"`))
	for name, tc := range map[string]struct {
		req        *registryv1.ImportAgentRequest
		id, source string
		endpoint   string
	}{
		"from the agent's address": {&registryv1.ImportAgentRequest{Source: &registryv1.ImportAgentRequest_CardUrl{CardUrl: url + "/"}}, "mein-echo-2", "FETCHED", url},
		"from the card's address": {&registryv1.ImportAgentRequest{
			AgentId: "given", Source: &registryv1.ImportAgentRequest_CardUrl{CardUrl: url + "/.well-known/agent-card.json"},
		}, "given", "FETCHED", url},
		"inline": {&registryv1.ImportAgentRequest{Source: &registryv1.ImportAgentRequest_CardJson{CardJson: []byte(plainCard)}}, "echo", "INLINE", "http://127.0.0.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := p.as(secret).ImportAgent(t.Context(), tc.req)
			must(t, err)
			if a.GetName() != "agents/"+tc.id || a.GetCardSource().String() != "CARD_SOURCE_"+tc.source ||
				a.GetEndpoints()[0].GetUrl() != tc.endpoint || a.GetDescription() != "repeats" || a.GetTeam() != "teams/demo" ||
				a.GetState() != registryv1.State_STATE_APPROVED || !slices.Equal(a.GetTags(), []string{"say-it", "x"}) || len(a.GetWarnings()) != 0 {
				t.Errorf("imported %v", a)
			}
		})
	}
	_, err := p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
		Team: "teams/demo", Source: &registryv1.ImportAgentRequest_CardUrl{CardUrl: "http://127.0.0.1:1"},
	})
	refused(t, err, connect.CodeFailedPrecondition, "CARD_UNAVAILABLE")
	_, err = p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
		Team: "teams/demo", Source: &registryv1.ImportAgentRequest_CardUrl{CardUrl: "http://forbidden.internal"},
	})
	refused(t, err, connect.CodeInvalidArgument, "ADDRESS_FORBIDDEN")
	_, err = p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
		Team: "teams/demo", Source: &registryv1.ImportAgentRequest_CardJson{CardJson: []byte(plainCard)},
	})
	refused(t, err, connect.CodeAlreadyExists, "AGENT_EXISTS")
	odd, err := p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
		AgentId: "odd", Team: "teams/demo", Source: &registryv1.ImportAgentRequest_CardJson{CardJson: []byte(
			`{"name":"O\u0000dd\n\u001b[2J name","description":"two\nlines\u0000","supportedInterfaces":[{"url":"http://h/","protocolBinding":"JSONRPC\u0000","protocolVersion":"1.0","tenant":"\u0000"}]}`)},
	})
	must(t, err)
	if odd.GetDisplayName() != "Odd [2J name" || odd.GetDescription() != "two\nlines" {
		t.Errorf("a card with control characters became %q, %q", odd.GetDisplayName(), odd.GetDescription())
	}
	_, err = p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
		Team: "teams/demo", Source: &registryv1.ImportAgentRequest_CardJson{CardJson: []byte(`{"name":"No Address"}`)},
	})
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
	_, err = p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{Team: "teams/demo"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	if e, ok := errors.AsType[*connect.Error](err); !ok || len(e.Details()) != 2 {
		t.Errorf("validation error %v has not both violations and a reason", err)
	}
}
