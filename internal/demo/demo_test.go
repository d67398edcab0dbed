package demo_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/demo"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

// gateway is a real gateway in this process.
type gateway struct {
	url, admin, dir string
	client          *http.Client
	identity        identityv1connect.IdentityServiceClient
	registry        registryv1connect.RegistryServiceClient
	audit           auditv1connect.AuditServiceClient
}

func startGateway(t *testing.T) *gateway {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	dir := t.TempDir()
	if err := flags.Parse([]string{
		"--listen", "127.0.0.1:0", "--data-dir", dir, "--database-url", pgtest.ConnString(t),
		"--drain-timeout", "6s", "--audit-spool-bytes", "67108864",
	}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(flags)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("the gateway stopped with: %v", err)
		}
	})
	<-a.Ready()
	client := &http.Client{Transport: transport}
	asAdmin := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set("Authorization", "Bearer "+a.AdminKey())
			return next(ctx, req)
		}
	}))
	return &gateway{
		url: a.URL(), admin: a.AdminKey(), dir: dir, client: client,
		identity: identityv1connect.NewIdentityServiceClient(client, a.URL(), asAdmin),
		registry: registryv1connect.NewRegistryServiceClient(client, a.URL(), asAdmin),
		audit:    auditv1connect.NewAuditServiceClient(client, a.URL(), asAdmin),
	}
}

// start starts the agents. They are stopped by the test, or at its end.
func (g *gateway) start(t *testing.T) (d *demo.Demo, stop func()) {
	t.Helper()
	d, err := demo.Start(t.Context(), demo.Options{GatewayURL: g.url, AdminKey: g.admin, DataDir: g.dir})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := d.Close(); err != nil {
			t.Errorf("stop the agents: %v", err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

// connect finds an agent by its card, as any client does.
func (g *gateway) connect(t *testing.T, key, agent string) (context.Context, *a2aclient.Client) {
	t.Helper()
	bearer := "Bearer " + key
	card, err := agentcard.NewResolver(g.client).Resolve(t.Context(), g.url+"/a2a/"+agent, agentcard.WithRequestHeader("Authorization", bearer))
	if err != nil {
		t.Fatalf("find %s: %v", agent, err)
	}
	client, err := a2aclient.NewFromCard(t.Context(), card, a2aclient.WithJSONRPCTransport(g.client))
	if err != nil {
		t.Fatal(err)
	}
	return a2aclient.AttachServiceParams(t.Context(), a2aclient.ServiceParams{"Authorization": {bearer}}), client
}

// ask sends a text and returns the state and text of the task.
func (g *gateway) ask(t *testing.T, key, agent, text string) (a2a.TaskState, string) {
	t.Helper()
	ctx, client := g.connect(t, key, agent)
	result, err := client.SendMessage(ctx, &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(text)),
	})
	if err != nil {
		t.Fatalf("ask %s: %v", agent, err)
	}
	task, ok := result.(*a2a.Task)
	if !ok {
		t.Fatalf("ask %s: the answer is a %T", agent, result)
	}
	return task.Status.State, artifacts(task)
}

func artifacts(task *a2a.Task) string {
	var b strings.Builder
	for _, a := range task.Artifacts {
		for _, p := range a.Parts {
			b.WriteString(p.Text())
		}
	}
	return b.String()
}

// events returns all events once there is one that want picks.
func (g *gateway) events(t *testing.T, want func(*auditv1.Event) bool) []*auditv1.Event {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		list, err := g.audit.ListEvents(t.Context(), &auditv1.ListEventsRequest{PageSize: 250})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list.GetEvents(), want) {
			return list.GetEvents()
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the event did not come; there are %v", list.GetEvents())
		}
	}
}

func TestDemo_PlannerCallsResearcherThroughTheGatewayInOneTrace(t *testing.T) {
	g := startGateway(t)
	d, _ := g.start(t)
	if diff := cmp.Diff([]string{"echo", "researcher", "planner"}, d.Agents()); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
	_, trains := g.ask(t, d.Key(), "researcher", "trains")
	_, planes := g.ask(t, d.Key(), "researcher", "planes")
	if !strings.Contains(trains, "3. ") || trains == planes {
		t.Errorf("the researcher says %q of trains and %q of planes", trains, planes)
	}
	state, plan := g.ask(t, d.Key(), "planner", "Compare trains and planes.")
	if state != a2a.TaskStateCompleted || !strings.Contains(plan, trains) || !strings.Contains(plan, planes) {
		t.Errorf("the planner ended %s and says:\n%s\nwant these findings in it:\n%s%s", state, plan, trains, planes)
	}

	events := g.events(t, func(e *auditv1.Event) bool {
		return e.GetAgent() == "agents/planner" && e.GetMethod() == "SendMessage"
	})
	var root *auditv1.Event
	var asked []*auditv1.Event
	for _, e := range events {
		switch {
		case e.GetMethod() != "SendMessage":
		case e.GetAgent() == "agents/planner":
			root = e
		case e.GetCaller() == "teams/demo/keys/planner":
			asked = append(asked, e)
		}
	}
	if len(asked) != 2 {
		t.Fatalf("the planner's key made %d calls, want 2", len(asked))
	}
	for _, e := range asked {
		if e.GetAgent() != "agents/researcher" || e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED {
			t.Errorf("the planner's call: %v", e)
		}
		if e.GetTraceId() != root.GetTraceId() || e.GetParentSpanId() != root.GetSpanId() {
			t.Errorf("the planner's call is of trace %s below span %s, want %s below %s",
				e.GetTraceId(), e.GetParentSpanId(), root.GetTraceId(), root.GetSpanId())
		}
	}
}

func TestDemo_EchoStreamsAndIsCancelled(t *testing.T) {
	g := startGateway(t)
	d, _ := g.start(t)
	if state, text := g.ask(t, d.Key(), "echo", "hello"); state != a2a.TaskStateCompleted || text != "hello" {
		t.Errorf("echo ended %s and says %q", state, text)
	}
	if state, _ := g.ask(t, d.Key(), "researcher", "  "); state != a2a.TaskStateRejected {
		t.Errorf("the researcher without a topic ended %s", state)
	}
	ctx, client := g.connect(t, d.Key(), "echo")
	var chunks []string
	for event, err := range client.SendStreamingMessage(ctx, &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("stream one two three")),
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if chunk, ok := event.(*a2a.TaskArtifactUpdateEvent); ok {
			chunks = append(chunks, chunk.Artifact.Parts[0].Text())
		}
	}
	if diff := cmp.Diff([]string{"one ", "two ", "three"}, chunks); diff != "" {
		t.Errorf("chunks (-want +got):\n%s", diff)
	}
	result, err := client.SendMessage(ctx, &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("slow work")), Config: &a2a.SendMessageConfig{ReturnImmediately: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	slow, ok := result.(*a2a.Task)
	if !ok {
		t.Fatalf("a slow task is a %T", result)
	}
	cancelled, err := client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: slow.ID})
	if err != nil || cancelled.Status.State != a2a.TaskStateCanceled {
		t.Errorf("cancel: %v, %v", cancelled, err)
	}
}

// A task that nobody cancels must not keep the program from ending.
func TestDemo_CloseEndsWhatRuns(t *testing.T) {
	g := startGateway(t)
	d, stop := g.start(t)
	ctx, client := g.connect(t, d.Key(), "echo")
	var last a2a.TaskState
	for event, err := range client.SendStreamingMessage(ctx, &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("slow work")),
	}) {
		if err != nil {
			t.Logf("the stream ended with: %v", err)
			break
		}
		switch e := event.(type) {
		case *a2a.TaskArtifactUpdateEvent:
			go stop()
		case *a2a.TaskStatusUpdateEvent:
			last = e.Status.State
		}
	}
	if last == a2a.TaskStateCompleted {
		t.Errorf("a task that was stopped ended %s", last)
	}
}

func TestDemo_SecondStartUsesWhatIsThere(t *testing.T) {
	g := startGateway(t)
	first, stop := g.start(t)
	key := first.Key()
	stop()
	before := g.agent(t, "echo")
	second, _ := g.start(t)
	if second.Key() != key {
		t.Errorf("the second start made another key")
	}
	after := g.agent(t, "echo")
	if after.GetUid() != before.GetUid() || after.GetEndpoints()[0].GetUrl() == before.GetEndpoints()[0].GetUrl() {
		t.Errorf("echo was %v and is %v, want the same agent at another address", before, after)
	}
	if _, text := g.ask(t, second.Key(), "planner", "a and b"); !strings.Contains(text, "Step 2, b:\n1. ") {
		t.Errorf("the planner says after the second start:\n%s", text)
	}
	keys, err := g.identity.ListKeys(t.Context(), &identityv1.ListKeysRequest{Parent: "teams/demo"})
	if err != nil || len(keys.GetKeys()) != 2 {
		t.Errorf("there are the keys %v (%v), want two", keys, err)
	}
}

func (g *gateway) agent(t *testing.T, id string) *registryv1.Agent {
	t.Helper()
	a, err := g.registry.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/" + id})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDemo_LostAndWrongKeyFilesAreMadeAnew(t *testing.T) {
	g := startGateway(t)
	d, stop := g.start(t)
	old := d.Key()
	stop()
	for name, damage := range map[string]func(path string) error{
		"lost":  os.Remove,
		"wrong": func(path string) error { return os.WriteFile(path, []byte("sb_of_another_gateway\n"), 0o600) },
		"noise": func(path string) error { return os.WriteFile(path, []byte("not a key\nat all"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := damage(filepath.Join(g.dir, "demo.key")); err != nil {
				t.Fatal(err)
			}
			d, stop := g.start(t)
			defer stop()
			if d.Key() == old {
				t.Error("the key is the one before")
			}
			content, err := os.ReadFile(d.KeyFile())
			if err != nil || string(content) != d.Key()+"\n" {
				t.Errorf("the file holds %q (%v), want the key", content, err)
			}
			if info, err := os.Stat(d.KeyFile()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file's mode: %v, %v", info.Mode(), err)
			}
			if _, text := g.ask(t, d.Key(), "echo", "hello"); text != "hello" {
				t.Errorf("echo says %q", text)
			}
		})
	}
}

// What somebody did on purpose is not undone.
func TestDemo_LeavesDisabledKeysAndForeignAgentsAlone(t *testing.T) {
	g := startGateway(t)
	if _, err := g.identity.CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "other"}); err != nil {
		t.Fatal(err)
	}
	_, err := g.registry.CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "planner", Agent: &registryv1.Agent{
		Team: "teams/other", Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := demo.Options{GatewayURL: g.url, AdminKey: g.admin, DataDir: g.dir}
	if _, err := demo.Start(t.Context(), o); !errors.Is(err, demo.ErrNameTaken) {
		t.Errorf("start beside an agent of the same name: %v, want %v", err, demo.ErrNameTaken)
	}
	if got := g.agent(t, "planner").GetEndpoints()[0].GetUrl(); got != "http://127.0.0.1:1" {
		t.Errorf("the foreign agent is at %s now", got)
	}
	if _, err := g.identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: "teams/demo/keys/demo"}); err != nil {
		t.Fatal(err)
	}
	if _, err := demo.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("start with a disabled key: %v", err)
	}
}

func TestStart_SaysWhatIsMissing(t *testing.T) {
	full := demo.Options{GatewayURL: "http://127.0.0.1:1", AdminKey: "k", DataDir: t.TempDir()}
	for name, edit := range map[string]func(*demo.Options){
		"GatewayURL": func(o *demo.Options) { o.GatewayURL = "" },
		"AdminKey":   func(o *demo.Options) { o.AdminKey = "" },
		"DataDir":    func(o *demo.Options) { o.DataDir = "" },
		"make team":  func(*demo.Options) {}, // nobody is there
	} {
		o := full
		edit(&o)
		if _, err := demo.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %q", err, name)
		}
	}
}

func TestDemo_CurlWorks(t *testing.T) {
	g := startGateway(t)
	d, _ := g.start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/a2a/echo", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"text":"hello"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Key())
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"text":"hello"`) || !strings.HasPrefix(string(body), `{"jsonrpc":"2.0","id":1,"result":`) {
		t.Errorf("HTTP %s: %s (%v)", resp.Status, body, err)
	}
}
