package api_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

func TestGetAgent_ShowsHowCallersOfEachDialectAreServed(t *testing.T) {
	p := newPlane(t, func(cfg *api.Config) { cfg.PublicURL = "https://gw.example/base/" })
	p.team(t, "demo")
	p.agent(t, "demo", "two", func(a *registryv1.Agent) {
		a.CardJson = []byte(`{"name":"G","supportedInterfaces":[{"url":"127.0.0.1:50051","protocolBinding":"GRPC","protocolVersion":"1.0"},` +
			`{"url":"http://127.0.0.1:9/","protocolBinding":"HTTP+JSON","protocolVersion":"0.3"}]}`)
	})
	name := &registryv1.GetAgentRequest{Name: "agents/two"}
	got, err := p.admin().GetAgent(t.Context(), name)
	must(t, err)
	route := func(dialect, address, selector, upstream string) *registryv1.Route {
		return &registryv1.Route{
			Dialect: dialect, Address: address, Selector: selector, UpstreamDialect: upstream, Translated: dialect != upstream,
		}
	}
	const base, grpc = "https://gw.example/base/a2a/two", "gw.example:443"
	want := []*registryv1.Route{
		route("JSONRPC/1.0", base, "", "GRPC/1.0"),
		route("HTTP+JSON/1.0", base, "", "GRPC/1.0"),
		route("GRPC/1.0", grpc, "tenant=two", "GRPC/1.0"),
		route("JSONRPC/0.3", base, "", "HTTP+JSON/0.3"),
		route("HTTP+JSON/0.3", base, "", "HTTP+JSON/0.3"),
		route("GRPC/0.3", grpc, "x-signalbox-agent=two", "HTTP+JSON/0.3"),
	}
	if diff := cmp.Diff(want, got.GetRoutes(), protocmp.Transform()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if len(got.GetWarnings()) != 1 || !strings.Contains(got.GetWarnings()[0], "GRPC/1.0 at 127.0.0.1:50051, calls go to 127.0.0.1:9;") {
		t.Errorf("warnings %q, want one about the port of gRPC", got.GetWarnings())
	}
	got, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{
		Name: "agents/two", PreferredDialects: []string{"JSONRPC/1.0", "HTTP+JSON/0.3"}, TrustCardAuthority: true,
		CardShape: registryv1.CardShape_CARD_SHAPE_V03,
	}})
	must(t, err)
	for _, r := range got.GetRoutes() {
		if r.GetUpstreamDialect() != "HTTP+JSON/0.3" {
			t.Errorf("with a preference callers of %s are served by %s", r.GetDialect(), r.GetUpstreamDialect())
		}
	}
	if len(got.GetWarnings()) != 0 || got.GetCardShape() != registryv1.CardShape_CARD_SHAPE_V03 || got.GetRevision() != 1 {
		t.Errorf("update made warnings %q, shape %v, revision %d", got.GetWarnings(), got.GetCardShape(), got.GetRevision())
	}
	read, err := p.admin().GetAgent(t.Context(), name)
	must(t, err)
	if diff := cmp.Diff(got, read, protocmp.Transform()); diff != "" {
		t.Errorf("get differs from update (-update +get):\n%s", diff)
	}
	list, err := p.admin().ListAgents(t.Context(), &registryv1.ListAgentsRequest{})
	must(t, err)
	if a := list.GetAgents()[0]; !slices.Equal(a.GetPreferredDialects(), got.GetPreferredDialects()) || a.GetCardShape() != got.GetCardShape() ||
		len(a.GetRoutes()) != 0 || a.GetCardVerification().GetState() != registryv1.CardVerificationState_CARD_VERIFICATION_STATE_UNSIGNED {
		t.Errorf("in the list: %v", a)
	}
	if agent, ok := p.follower.Current().Agent("two"); !ok || agent.CardShape != registry.ShapeV03 || len(agent.Route.Interfaces) != 2 {
		t.Error("the served snapshot does not have what was set")
	}
	got, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
		Agent:      &registryv1.Agent{Name: "agents/two", CardShape: registryv1.CardShape_CARD_SHAPE_V10},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"preferred_dialects", "card_keys"}},
	})
	must(t, err)
	if len(got.GetPreferredDialects()) != 0 || got.GetCardShape() != registryv1.CardShape_CARD_SHAPE_V03 {
		t.Errorf("clearing made %v, shape %v", got.GetPreferredDialects(), got.GetCardShape())
	}
}

// signatures verifies cards whose signature says so: it stands for the cryptography.
type signatures struct{}

func (signatures) CheckKeys(keys []byte) error {
	if !bytes.HasPrefix(keys, []byte("{")) {
		return errors.New("it is no object")
	}
	return nil
}

func (signatures) VerifyCard(card, keys []byte) (string, error) {
	if !bytes.Contains(card, []byte(`"signature":"good"`)) {
		return "", errors.New("it was made with another key")
	}
	return string(keys), nil
}

func signedCard(signature string) string {
	return `{"name":"S","supportedInterfaces":[{"url":"http://h/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
		`"signatures":[{"protected":"e30","signature":"` + signature + `"}]}`
}

func TestCardKeys_KeepCardsOutThatDoNotVerify(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	url, setCard := agentServer(t)
	state := func(a *registryv1.Agent, want string) {
		t.Helper()
		if got := strings.TrimPrefix(a.GetCardVerification().GetState().String(), "CARD_VERIFICATION_STATE_"); got != want {
			t.Errorf("verification %s, want %s", got, want)
		}
	}
	update := func(a *registryv1.Agent) (*registryv1.Agent, error) {
		a.Name = "agents/signed"
		return p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: a})
	}
	setCard(signedCard("bad"))
	create := &registryv1.CreateAgentRequest{AgentId: "signed", Agent: &registryv1.Agent{
		Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: url}}, CardKeys: `{"keys":[]}`,
	}}
	_, err := p.admin().CreateAgent(t.Context(), create)
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
	create.Agent.CardJson = []byte(signedCard("bad"))
	_, err = p.admin().CreateAgent(t.Context(), create)
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
	create.Agent.CardKeys = "[]"
	_, err = p.admin().CreateAgent(t.Context(), create)
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")

	create.Agent.CardJson, create.Agent.CardKeys = nil, ""
	a, err := p.admin().CreateAgent(t.Context(), create)
	must(t, err)
	state(a, "NO_KEY")
	if string(a.GetCardJson()) != signedCard("bad") {
		t.Errorf("the card with its signature reads back as %s", a.GetCardJson())
	}
	_, err = update(&registryv1.Agent{CardKeys: `{"k":1}`})
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
	// The agent has signed its card anew meanwhile.
	setCard(signedCard("good"))
	a, err = update(&registryv1.Agent{CardKeys: `{"k":1}`})
	must(t, err)
	state(a, "VERIFIED")
	if a.GetCardVerification().GetKeyId() != `{"k":1}` || string(a.GetCardJson()) != signedCard("good") || a.GetRevision() != 2 {
		t.Errorf("with keys: %v, revision %d, card %s", a.GetCardVerification(), a.GetRevision(), a.GetCardJson())
	}
	_, err = update(&registryv1.Agent{CardJson: []byte(signedCard("forged"))})
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
	_, err = update(&registryv1.Agent{CardJson: []byte(plainCard)})
	refused(t, err, connect.CodeInvalidArgument, "CARD_INVALID")
}

func TestCardKeys_KeepFoundCardsOutThatDoNotVerify(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	url, setCard := agentServer(t)
	_, err := p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "late", Agent: &registryv1.Agent{
		Team: "teams/demo", Endpoints: []*registryv1.Endpoint{{Url: url}}, CardKeys: `{"k":1}`,
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var searcher sync.WaitGroup
	searcher.Go(func() {
		if err := p.registry.Run(ctx); err != nil {
			t.Errorf("search: %v", err)
		}
	})
	defer searcher.Wait()
	defer cancel()
	verification := func() string {
		found, err := p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/late"})
		must(t, err)
		invalid := found.GetCardVerification().GetState() == registryv1.CardVerificationState_CARD_VERIFICATION_STATE_INVALID
		if invalid && (len(found.GetCardJson()) != 0 || len(found.GetWarnings()) != 1 || !strings.Contains(found.GetWarnings()[0], "another key")) {
			t.Errorf("kept out with card %q and warnings %q", found.GetCardJson(), found.GetWarnings())
		}
		return found.GetCardVerification().GetState().String()
	}
	setCard(signedCard("bad"))
	eventually(t, "that the card is kept out", func() bool { return verification() == "CARD_VERIFICATION_STATE_INVALID" })
	setCard(signedCard("good"))
	eventually(t, "the card", func() bool { return verification() == "CARD_VERIFICATION_STATE_VERIFIED" })
}
