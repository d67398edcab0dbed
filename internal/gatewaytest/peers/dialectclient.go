package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	grpcv0 "github.com/a2aproject/a2a-go/v2/a2agrpc/v0"
	grpcv1 "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ClientConfig says whom a [DialectClient] calls.
type ClientConfig struct {
	// Base is the address below which the card is found that names the address to
	// call. Not needed when Card is given.
	Base string
	// Card is the card itself.
	Card []byte
	// Key is the bearer token, "" for none.
	Key string
	// Agent is the name by which a gRPC client selects an agent behind a gateway, ""
	// for none: it goes as metadata x-signalbox-agent in 0.3. In 1.0 the tenant that
	// the card gives does it.
	Agent string
	// ByMetadata selects by metadata in 1.0 too, and sends no tenant.
	ByMetadata bool
	// Dial is the host and port that a gRPC client dials for the authority that the
	// card gives, "" for that authority itself.
	Dial string
}

// DialectClient is a client of a2a-go that speaks one dialect. What its methods
// return is in no dialect; errors are [*CallError].
type DialectClient struct {
	// Dialect is what it speaks.
	Dialect wire.Dialect
	// Address is where it calls, as the card says.
	Address string
	// Advertised are the dialects in the card.
	Advertised []string
	// PushNotifications is what the card says about push configs.
	PushNotifications bool

	transport a2aclient.Transport
	http      *http.Client
	params    a2aclient.ServiceParams
	tenant    string
}

// errNoInterface says that a card lacks a dialect.
var errNoInterface = errors.New("peers: the card has no such interface")

// NewDialectClient makes a client of a dialect. It ends with the test.
func NewDialectClient(t testing.TB, d wire.Dialect, cfg ClientConfig) *DialectClient {
	t.Helper()
	c, err := newDialectClient(t, d, cfg)
	if err != nil {
		t.Fatalf("client of %s: %v", d, err)
	}
	return c
}

func newDialectClient(t testing.TB, d wire.Dialect, cfg ClientConfig) (*DialectClient, error) {
	// The SDK's own HTTP client gives up after some minutes and keeps its
	// connections, which a check for leaks would see.
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	header := http.Header{}
	if cfg.Key != "" {
		header.Set("Authorization", "Bearer "+cfg.Key)
	}
	hc := &http.Client{Transport: capturingTransport{base, header}}
	c := &DialectClient{Dialect: d, http: hc}
	if err := c.readCard(t.Context(), hc, cfg); err != nil {
		return nil, err
	}
	old := d.Version == wire.V03
	if !old {
		c.params = a2aclient.ServiceParams{a2a.SvcParamVersion: {Version10}}
	}
	switch d.Binding {
	case wire.GRPC:
		md := []string{}
		if cfg.Key != "" {
			md = append(md, "authorization", "Bearer "+cfg.Key)
		}
		if cfg.ByMetadata {
			c.tenant = ""
		}
		if cfg.Agent != "" && (old || cfg.ByMetadata) {
			md = append(md, "x-signalbox-agent", cfg.Agent)
		}
		authority := strings.TrimPrefix(c.Address, "http://")
		conn, err := grpc.NewClient(orElse(cfg.Dial, authority), grpc.WithAuthority(authority),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
			grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				return captureUnary(metadata.AppendToOutgoingContext(ctx, md...), method, req, reply, conn, invoke, opts...)
			}),
			grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				return captureStream(metadata.AppendToOutgoingContext(ctx, md...), desc, conn, method, stream, opts...)
			}))
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = conn.Close() })
		if old {
			c.transport = grpcv0.NewGRPCTransport(conn)
		} else {
			c.transport = grpcv1.NewGRPCTransport(conn)
		}
	case wire.REST:
		if old {
			transport, err := a2av0.NewRESTTransport(a2av0.RESTTransportConfig{URL: c.Address, Client: hc})
			c.transport = transport
			return c, err
		}
		address, err := url.Parse(c.Address)
		if err != nil {
			return nil, err
		}
		c.transport = a2aclient.NewRESTTransport(address, hc)
	default:
		if old {
			c.transport = a2av0.NewJSONRPCTransport(a2av0.JSONRPCTransportConfig{URL: c.Address, Client: hc})
		} else {
			c.transport = a2aclient.NewJSONRPCTransport(c.Address, hc)
		}
	}
	return c, nil
}

// readCard finds the address of the dialect. The SDK's own parser refuses cards that
// the specification allows.
func (c *DialectClient) readCard(ctx context.Context, hc *http.Client, cfg ClientConfig) error {
	raw := cfg.Card
	if raw == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Base+"/.well-known/agent-card.json", nil)
		if err != nil {
			return err
		}
		if c.Dialect.Version == wire.V10 {
			req.Header.Set(a2a.SvcParamVersion, Version10)
		}
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if raw, err = io.ReadAll(io.LimitReader(resp.Body, maxCaptured)); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("card: HTTP %d: %.300s", resp.StatusCode, raw)
		}
	}
	card, err := readAnyCard(raw)
	if err != nil {
		return err
	}
	c.PushNotifications = card.push
	for _, i := range card.interfaces {
		c.Advertised = append(c.Advertised, i.dialect)
		if i.dialect == c.Dialect.String() && c.Address == "" {
			c.Address, c.tenant = i.url, i.tenant
		}
	}
	if grpc03 := (wire.Dialect{Binding: wire.GRPC, Version: wire.V03}); c.Address == "" && c.Dialect == grpc03 && cfg.Agent != "" {
		// A card of 0.3 cannot say how to name the agent. Who knows it finds the place
		// where 1.0 is served.
		for _, i := range card.interfaces {
			if i.dialect == "GRPC/1.0" {
				c.Address = i.url
			}
		}
	}
	if c.Address == "" {
		return fmt.Errorf("%w: %s in %v", errNoInterface, c.Dialect, c.Advertised)
	}
	return nil
}

// anyCard is what both versions' cards say.
type anyCard struct {
	interfaces []struct{ dialect, url, tenant string }
	push       bool
}

func readAnyCard(raw []byte) (anyCard, error) {
	type face struct {
		URL             string `json:"url"`
		Transport       string `json:"transport"`
		ProtocolBinding string `json:"protocolBinding"`
		ProtocolVersion string `json:"protocolVersion"`
		Tenant          string `json:"tenant"`
	}
	var card struct {
		URL                  string `json:"url"`
		PreferredTransport   string `json:"preferredTransport"`
		AdditionalInterfaces []face `json:"additionalInterfaces"`
		SupportedInterfaces  []face `json:"supportedInterfaces"`
		Capabilities         struct {
			PushNotifications bool `json:"pushNotifications"`
		} `json:"capabilities"`
	}
	if err := json.Unmarshal(raw, &card); err != nil {
		return anyCard{}, fmt.Errorf("card %.300q: %w", raw, err)
	}
	read := anyCard{push: card.Capabilities.PushNotifications}
	add := func(binding, version, url, tenant string) {
		read.interfaces = append(read.interfaces, struct{ dialect, url, tenant string }{binding + "/" + version, url, tenant})
	}
	for _, i := range card.SupportedInterfaces {
		add(i.ProtocolBinding, i.ProtocolVersion, i.URL, i.Tenant)
	}
	if card.URL != "" {
		add(orElse(card.PreferredTransport, wire.BindingJSONRPC), Version03, card.URL, "")
	}
	for _, i := range card.AdditionalInterfaces {
		add(i.Transport, Version03, i.URL, "")
	}
	return read, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Message is what a [DialectClient] sends.
type Message struct {
	// ID is the message's id; its beginning is a [Script].
	ID string
	// TaskID and ContextID are those of the task that goes on, "" for a new one.
	TaskID, ContextID string
	// Parts are what it says.
	Parts []Part
	// Immediately asks for an answer before the task has ended.
	Immediately bool
}

// Answer is a task or a direct message in no dialect.
type Answer struct {
	// Kind is "task" or "message".
	Kind string
	// ID and ContextID are those of the answer.
	ID, ContextID string
	// State is the task's, as 0.3 spells it.
	State string
	// Note is the text of the status message.
	Note string
	// Parts are those of the message, or of all artifacts.
	Parts []Part
	// History are the texts of the history, each behind its role: "user: hello".
	History []string
}

// StreamEvent is an event of a stream in no dialect.
type StreamEvent struct {
	// Kind is "task", "message", "status-update" or "artifact-update".
	Kind string
	// ID and ContextID are those of the task.
	ID, ContextID string
	// State is that of the task or the update, as 0.3 spells it.
	State string
	// Text is that of the message or the artifact.
	Text string
	// Append and LastChunk are those of an artifact update.
	Append, LastChunk bool
}

// PushConfig is a push config in no dialect.
type PushConfig struct{ TaskID, ID, URL, Token, Scheme, Credentials string }

// ExtendedCard is what a client reads from an extended card.
type ExtendedCard struct {
	Name   string
	Skills []string
	URLs   []string
}

// Send sends a message and waits for the answer.
func (c *DialectClient) Send(ctx context.Context, m Message) (Answer, error) {
	ctx, kept := capturing(ctx)
	result, err := c.transport.SendMessage(ctx, c.params, c.request(m))
	if err != nil {
		return Answer{}, kept.failure(err)
	}
	switch r := result.(type) {
	case *a2a.Task:
		return answerOf(r), nil
	case *a2a.Message:
		return Answer{Kind: kindMessage, ID: r.ID, ContextID: r.ContextID, Parts: partsOf(r.Parts)}, nil
	default:
		return Answer{}, fmt.Errorf("unexpected answer %T", result)
	}
}

// Stream sends a message and hands over the events of its stream, until see says
// that it has enough and leaves.
func (c *DialectClient) Stream(ctx context.Context, m Message, see func(StreamEvent) bool) error {
	ctx, kept := capturing(ctx)
	return watch(c.transport.SendStreamingMessage(ctx, c.params, c.request(m)), kept, see)
}

// Subscribe does the same with a task that goes on.
func (c *DialectClient) Subscribe(ctx context.Context, taskID string, see func(StreamEvent) bool) error {
	ctx, kept := capturing(ctx)
	return watch(c.transport.SubscribeToTask(ctx, c.params, &a2a.SubscribeToTaskRequest{Tenant: c.tenant, ID: a2a.TaskID(taskID)}), kept, see)
}

// Get gets a task with so many messages of its history; fewer than none means all.
func (c *DialectClient) Get(ctx context.Context, taskID string, history int) (Answer, error) {
	ctx, kept := capturing(ctx)
	req := &a2a.GetTaskRequest{Tenant: c.tenant, ID: a2a.TaskID(taskID)}
	if history >= 0 {
		req.HistoryLength = &history
	}
	task, err := c.transport.GetTask(ctx, c.params, req)
	if err != nil {
		return Answer{}, kept.failure(err)
	}
	return answerOf(task), nil
}

// List lists the tasks of a context. JSON-RPC 0.3 has no such method, and the SDK does
// not ask: the client of it calls the one that some agents have all the same.
func (c *DialectClient) List(ctx context.Context, contextID string) ([]Answer, error) {
	ctx, kept := capturing(ctx)
	if c.Dialect == (wire.Dialect{Binding: wire.JSONRPC, Version: wire.V03}) {
		return nil, c.listOld(ctx, kept)
	}
	page, err := c.transport.ListTasks(ctx, c.params, &a2a.ListTasksRequest{Tenant: c.tenant, ContextID: contextID, IncludeArtifacts: true})
	if err != nil {
		return nil, kept.failure(err)
	}
	var tasks []Answer
	for _, task := range page.Tasks {
		tasks = append(tasks, answerOf(task))
	}
	return tasks, nil
}

// errListed says that a method was answered which there is not.
var errListed = errors.New("tasks/list was answered")

func (c *DialectClient) listOld(ctx context.Context, kept *capture) error {
	body := strings.NewReader(`{"jsonrpc":"2.0","id":"list","method":"tasks/list","params":{}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return kept.failure(errListed)
}

// Cancel cancels a task.
func (c *DialectClient) Cancel(ctx context.Context, taskID string) (Answer, error) {
	ctx, kept := capturing(ctx)
	task, err := c.transport.CancelTask(ctx, c.params, &a2a.CancelTaskRequest{Tenant: c.tenant, ID: a2a.TaskID(taskID)})
	if err != nil {
		return Answer{}, kept.failure(err)
	}
	return answerOf(task), nil
}

// CreatePush registers a push config.
func (c *DialectClient) CreatePush(ctx context.Context, p PushConfig) (PushConfig, error) {
	ctx, kept := capturing(ctx)
	made, err := c.transport.CreateTaskPushConfig(ctx, c.params, &a2a.PushConfig{
		Tenant: c.tenant, TaskID: a2a.TaskID(p.TaskID), ID: p.ID, URL: p.URL, Token: p.Token,
		Auth: &a2a.PushAuthInfo{Scheme: p.Scheme, Credentials: p.Credentials},
	})
	if err != nil {
		return PushConfig{}, kept.failure(err)
	}
	return pushOf(made), nil
}

// GetPush gets a push config.
func (c *DialectClient) GetPush(ctx context.Context, taskID, id string) (PushConfig, error) {
	ctx, kept := capturing(ctx)
	got, err := c.transport.GetTaskPushConfig(ctx, c.params, &a2a.GetTaskPushConfigRequest{Tenant: c.tenant, TaskID: a2a.TaskID(taskID), ID: id})
	if err != nil {
		return PushConfig{}, kept.failure(err)
	}
	return pushOf(got), nil
}

// ListPush lists the push configs of a task.
func (c *DialectClient) ListPush(ctx context.Context, taskID string) ([]PushConfig, error) {
	ctx, kept := capturing(ctx)
	got, err := c.transport.ListTaskPushConfigs(ctx, c.params, &a2a.ListTaskPushConfigRequest{Tenant: c.tenant, TaskID: a2a.TaskID(taskID)})
	if err != nil {
		return nil, kept.failure(err)
	}
	configs := []PushConfig{}
	for _, p := range got {
		configs = append(configs, pushOf(p))
	}
	return configs, nil
}

// DeletePush deletes a push config.
func (c *DialectClient) DeletePush(ctx context.Context, taskID, id string) error {
	ctx, kept := capturing(ctx)
	if err := c.transport.DeleteTaskPushConfig(ctx, c.params, &a2a.DeleteTaskPushConfigRequest{Tenant: c.tenant, TaskID: a2a.TaskID(taskID), ID: id}); err != nil {
		return kept.failure(err)
	}
	return nil
}

// ExtendedCard gets the extended card.
func (c *DialectClient) ExtendedCard(ctx context.Context) (ExtendedCard, error) {
	ctx, kept := capturing(ctx)
	card, err := c.transport.GetExtendedAgentCard(ctx, c.params, &a2a.GetExtendedAgentCardRequest{Tenant: c.tenant})
	if err != nil {
		return ExtendedCard{}, kept.failure(err)
	}
	read := ExtendedCard{Name: card.Name}
	for _, s := range card.Skills {
		read.Skills = append(read.Skills, s.ID)
	}
	for _, i := range card.SupportedInterfaces {
		read.URLs = append(read.URLs, i.URL)
	}
	return read, nil
}

func (c *DialectClient) request(m Message) *a2a.SendMessageRequest {
	parts := make(a2a.ContentParts, 0, len(m.Parts))
	for _, p := range m.Parts {
		part := a2a.NewTextPart(p.Text)
		switch {
		case p.Data != "":
			var data any
			if err := json.Unmarshal([]byte(p.Data), &data); err != nil {
				panic(err) // a test's own text
			}
			part = a2a.NewDataPart(data)
		case p.URL != "":
			part = a2a.NewFileURLPart(a2a.URL(p.URL), p.MediaType)
			part.Filename = p.Filename
		case p.Bytes != nil:
			part = a2a.NewRawPart(p.Bytes)
			part.Filename, part.MediaType = p.Filename, p.MediaType
		}
		parts = append(parts, part)
	}
	return &a2a.SendMessageRequest{
		Tenant: c.tenant,
		Message: &a2a.Message{
			ID: m.ID, Role: a2a.MessageRoleUser, TaskID: a2a.TaskID(m.TaskID), ContextID: m.ContextID, Parts: parts,
		},
		Config: &a2a.SendMessageConfig{ReturnImmediately: m.Immediately},
	}
}

func watch(events iter.Seq2[a2a.Event, error], kept *capture, see func(StreamEvent) bool) error {
	for event, err := range events {
		if err != nil {
			return kept.failure(err)
		}
		if !see(eventOf(event)) {
			return nil
		}
	}
	return nil
}

func eventOf(event a2a.Event) StreamEvent {
	info := event.TaskInfo()
	e := StreamEvent{ID: string(info.TaskID), ContextID: info.ContextID}
	switch v := event.(type) {
	case *a2a.Task:
		e.Kind, e.State = kindTask, stateName(v.Status.State)
		for _, artifact := range v.Artifacts {
			e.Text += partsText(artifact.Parts)
		}
	case *a2a.Message:
		e.Kind, e.Text = kindMessage, partsText(v.Parts)
	case *a2a.TaskStatusUpdateEvent:
		e.Kind, e.State = kindStatus, stateName(v.Status.State)
	case *a2a.TaskArtifactUpdateEvent:
		e.Kind, e.Text, e.Append, e.LastChunk = kindArtifact, partsText(v.Artifact.Parts), v.Append, v.LastChunk
	}
	return e
}

func answerOf(task *a2a.Task) Answer {
	a := Answer{Kind: kindTask, ID: string(task.ID), ContextID: task.ContextID, State: stateName(task.Status.State)}
	if task.Status.Message != nil {
		a.Note = partsText(task.Status.Message.Parts)
	}
	for _, artifact := range task.Artifacts {
		a.Parts = append(a.Parts, partsOf(artifact.Parts)...)
	}
	for _, m := range task.History {
		role := "agent"
		if m.Role == a2a.MessageRoleUser {
			role = "user"
		}
		a.History = append(a.History, role+": "+partsText(m.Parts))
	}
	return a
}

func pushOf(p *a2a.PushConfig) PushConfig {
	c := PushConfig{TaskID: string(p.TaskID), ID: p.ID, URL: p.URL, Token: p.Token}
	if p.Auth != nil {
		c.Scheme, c.Credentials = p.Auth.Scheme, p.Auth.Credentials
	}
	return c
}
