package rest_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	sdk "github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is the server side of a2a-go. It keeps what the last call asked for.
type agent struct {
	a2asrv.RequestHandler
	last any
}

func (a *agent) GetTask(_ context.Context, r *sdk.GetTaskRequest) (*sdk.Task, error) {
	a.last = r
	if r.ID == "none" {
		return nil, sdk.NewError(sdk.ErrTaskNotFound, "no task").WithErrorInfoMeta(map[string]string{"taskId": "none"})
	}
	return &sdk.Task{ID: r.ID}, nil
}

func (a *agent) ListTasks(_ context.Context, r *sdk.ListTasksRequest) (*sdk.ListTasksResponse, error) {
	a.last = r
	return &sdk.ListTasksResponse{Tasks: []*sdk.Task{}}, nil
}

func (a *agent) CancelTask(_ context.Context, r *sdk.CancelTaskRequest) (*sdk.Task, error) {
	a.last = r
	return nil, sdk.ErrTaskNotCancelable
}

func (a *agent) SendMessage(_ context.Context, r *sdk.SendMessageRequest) (sdk.SendMessageResult, error) {
	a.last = r
	return &sdk.Task{ID: "new"}, nil
}

func (a *agent) SubscribeToTask(_ context.Context, r *sdk.SubscribeToTaskRequest) iter.Seq2[sdk.Event, error] {
	a.last = r
	return func(yield func(sdk.Event, error) bool) {
		if yield(&sdk.Task{ID: r.ID}, nil) {
			yield(nil, sdk.ErrUnsupportedOperation)
		}
	}
}

func (a *agent) CreateTaskPushConfig(_ context.Context, r *sdk.PushConfig) (*sdk.PushConfig, error) {
	a.last = r
	return r, nil
}

func (a *agent) GetTaskPushConfig(_ context.Context, r *sdk.GetTaskPushConfigRequest) (*sdk.PushConfig, error) {
	a.last = r
	return &sdk.PushConfig{TaskID: r.TaskID, ID: r.ID, URL: "https://h"}, nil
}

func (a *agent) ListTaskPushConfigs(_ context.Context, r *sdk.ListTaskPushConfigRequest) (*sdk.ListTaskPushConfigResponse, error) {
	a.last = r
	return &sdk.ListTaskPushConfigResponse{Configs: []*sdk.PushConfig{{TaskID: r.TaskID, ID: "p", URL: "https://h"}}}, nil
}

func (a *agent) DeleteTaskPushConfig(_ context.Context, r *sdk.DeleteTaskPushConfigRequest) error {
	a.last = r
	return nil
}

func (a *agent) GetExtendedAgentCard(_ context.Context, r *sdk.GetExtendedAgentCardRequest) (*sdk.AgentCard, error) {
	a.last = r
	return nil, sdk.ErrExtendedCardNotConfigured
}

// relay passes calls on as a gateway would, through payloads.
func relay(t *testing.T, upstream string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fail := func(e *a2a.Error) {
			w.Header().Set("Content-Type", rest.TypeJSON)
			w.WriteHeader(e.RESTStatus(a2a.V10))
			_, _ = w.Write(e.AppendREST(nil, a2a.V10))
		}
		call, fault := rest.Parse(r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
		if fault != nil {
			fail(fault)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		payload, fault := call.Payload(body)
		if fault != nil {
			fail(fault)
			return
		}
		target, err := rest.Build(call.Op, call.Version, payload, "")
		if err != nil {
			t.Error(err)
			return
		}
		status, contentType, answer := send(t, upstream, target)
		switch {
		case status > 299:
			e, ok := a2a.ErrorFromREST(call.Op, call.Version, status, answer)
			if !ok {
				t.Errorf("not an error: %s", answer)
			}
			fail(&e)
		case strings.HasPrefix(contentType, "text/event-stream"):
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(relayStream(t, call, answer))
		default:
			result, err := rest.ReplyPayload(call.Op, call.Version, status, answer)
			if err != nil {
				t.Errorf("%s: %s: %v", call.Op, answer, err)
			}
			w.Header().Set("Content-Type", rest.TypeJSON)
			_, _ = w.Write(rest.AppendReply(nil, call.Op, result))
		}
	}
}

func send(t *testing.T, upstream string, target rest.Target) (status int, contentType string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), target.Method, upstream+target.Path+"?"+target.Query, strings.NewReader(string(target.Body)))
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	req.Header.Set("Content-Type", rest.TypeJSON)
	req.Header.Set("A2A-Version", "1.0")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), body
}

func relayStream(t *testing.T, call rest.Request, stream []byte) []byte {
	t.Helper()
	var out []byte
	r := sse.NewReader(strings.NewReader(string(stream)), 1<<20)
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Error(err)
			return out
		}
		if e, ok := rest.ParseErrorEvent(call.Op, call.Version, item.Event, item.Data); ok {
			out = rest.AppendErrorEvent(out, &e, call.Version)
		} else if !item.Comment {
			out = sse.AppendEvent(out, item.Data)
		}
	}
}

func TestA2AGo_ReachesA2AGoThroughPayloads(t *testing.T) {
	server := new(agent)
	upstream := httptest.NewServer(a2asrv.NewRESTHandler(server))
	defer upstream.Close()
	gateway := httptest.NewServer(relay(t, upstream.URL))
	defer gateway.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	base, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := a2aclient.NewRESTTransport(base, gateway.Client())
	defer gateway.Client().CloseIdleConnections()
	ctx, params := t.Context(), a2aclient.ServiceParams{}
	three := 3
	message := sdk.NewMessage(sdk.MessageRoleUser, sdk.NewTextPart("hi"))

	tests := []struct {
		name string
		want any // what the agent is to be asked, nil for anything
		call func() error
		err  error
	}{
		{"get", &sdk.GetTaskRequest{ID: "t:1", HistoryLength: &three}, func() error {
			task, err := client.GetTask(ctx, params, &sdk.GetTaskRequest{ID: "t:1", HistoryLength: &three})
			if err == nil && task.ID != "t:1" {
				return errors.New("another task")
			}
			return err
		}, nil},
		{"get nothing", &sdk.GetTaskRequest{ID: "none"}, func() error {
			_, err := client.GetTask(ctx, params, &sdk.GetTaskRequest{ID: "none"})
			return err
		}, sdk.ErrTaskNotFound},
		{"list", &sdk.ListTasksRequest{ContextID: "c&d", PageSize: 7, Status: sdk.TaskStateWorking, IncludeArtifacts: true}, func() error {
			_, err := client.ListTasks(ctx, params, &sdk.ListTasksRequest{ContextID: "c&d", PageSize: 7, Status: sdk.TaskStateWorking, IncludeArtifacts: true})
			return err
		}, nil},
		{"cancel", &sdk.CancelTaskRequest{ID: "t"}, func() error {
			_, err := client.CancelTask(ctx, params, &sdk.CancelTaskRequest{ID: "t"})
			return err
		}, sdk.ErrTaskNotCancelable},
		{"send", nil, func() error {
			_, err := client.SendMessage(ctx, params, &sdk.SendMessageRequest{Message: message})
			return err
		}, nil},
		{"subscribe", &sdk.SubscribeToTaskRequest{ID: "t"}, func() error {
			events := 0
			for _, err := range client.SubscribeToTask(ctx, params, &sdk.SubscribeToTaskRequest{ID: "t"}) {
				if err != nil {
					if events != 1 {
						return errors.New("no task came before the error")
					}
					return err
				}
				events++
			}
			return nil
		}, sdk.ErrUnsupportedOperation},
		{"create", &sdk.PushConfig{TaskID: "t", ID: "p", URL: "https://h"}, func() error {
			_, err := client.CreateTaskPushConfig(ctx, params, &sdk.PushConfig{TaskID: "t", ID: "p", URL: "https://h"})
			return err
		}, nil},
		{"get config", &sdk.GetTaskPushConfigRequest{TaskID: "t", ID: "p"}, func() error {
			_, err := client.GetTaskPushConfig(ctx, params, &sdk.GetTaskPushConfigRequest{TaskID: "t", ID: "p"})
			return err
		}, nil},
		{"list configs", nil, func() error {
			_, err := client.ListTaskPushConfigs(ctx, params, &sdk.ListTaskPushConfigRequest{TaskID: "t"})
			return err
		}, nil},
		{"delete config", &sdk.DeleteTaskPushConfigRequest{TaskID: "t", ID: "p"}, func() error {
			return client.DeleteTaskPushConfig(ctx, params, &sdk.DeleteTaskPushConfigRequest{TaskID: "t", ID: "p"})
		}, nil},
		{"card", nil, func() error {
			_, err := client.GetExtendedAgentCard(ctx, params, &sdk.GetExtendedAgentCardRequest{})
			return err
		}, sdk.ErrExtendedCardNotConfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server.last = nil
			if err := tt.call(); !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if server.last == nil {
				t.Fatal("the agent was not asked")
			}
			if diff := cmp.Diff(tt.want, server.last); tt.want != nil && diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestA2AGo_ReadsTheIDsThatWeEncode(t *testing.T) {
	server := new(agent)
	upstream := httptest.NewServer(a2asrv.NewRESTHandler(server))
	defer upstream.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, id := range []string{"a b", "a%2Fb", "a?b#c", "é", "a+b&c=d", "a;b", "t:1:2", "...", "~_-"} {
		payload, fault := rest.Request{Op: a2a.GetTask, Version: a2a.V10, TaskID: id}.Payload(nil)
		if fault != nil {
			t.Fatal(fault)
		}
		target, err := rest.Build(a2a.GetTask, a2a.V10, payload, "")
		if err != nil {
			t.Fatal(err)
		}
		if status, _, body := send(t, upstream.URL, target); status != 200 {
			t.Fatalf("%q: %d %s", id, status, body)
		}
		if got := server.last.(*sdk.GetTaskRequest).ID; string(got) != id {
			t.Errorf("%q arrived as %q", id, got)
		}
	}
}
