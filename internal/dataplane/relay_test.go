package dataplane_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// rpcReply is a reply to a request of [gatewaytest.Request], rpcEvent the same as an event.
func rpcReply(result string) string { return `{"jsonrpc":"2.0","id":7,"result":` + result + `}` }
func rpcEvent(result string) string { return "data: " + rpcReply(result) + "\n\n" }

// says is what a [scripted] agent always answers.
func says(body string) func(context.Context) (io.Reader, error) {
	return func(context.Context) (io.Reader, error) { return strings.NewReader(body), nil }
}

// with lets a rig call a scripted agent.
func with(agent scripted) func(*dataplane.Config) {
	return func(c *dataplane.Config) { c.Upstream = agent }
}

const (
	closed = "close " + string(audit.Succeeded)

	working03   = `{"kind":"status-update","taskId":"t","contextId":"c","final":false,"status":{"state":"working"}}`
	completed03 = `{"kind":"status-update","taskId":"t","contextId":"c","final":true,"status":{"state":"completed"}}`
)

// An end that is lost on the way must look like none, to the caller and in the record.
func TestStreams_AnEndThatCannotBeTranslatedIsAnErrorAndNoSuccess(t *testing.T) {
	const badTime = `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED","timestamp":"yesterday"}}}`
	const badBytes = `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"artifactId":"a","parts":[{"raw":"***"}]}]}}`
	for _, tt := range []struct {
		name, last string
		caller     a2a.Dialect
	}{
		{"a time that is none", badTime, grpc10},
		{"a time that is none", badTime, grpc03},
		{"bytes that are none", badBytes, grpc10},
		{"bytes that are none", badBytes, rest03},
	} {
		t.Run(tt.name+" for "+tt.caller.String(), func(t *testing.T) {
			agent := startNative(t, rpc10)
			agent.Answer(func(w http.ResponseWriter, r *http.Request) {
				sc := &scene{d: rpc10, w: w, r: r, id: requestID(r), task: "t"}
				sc.head()
				sc.send(taskItem("working"))
				sc.sendForm(tt.last)
			})
			g := newRig(t, rpc10, agent.URL)
			in := newCaller(t, g.serve(t), adminKey, tt.caller).stream(t, "SendStreamingMessage", "echo", "m")
			if diff := cmp.Diff([]item{taskItem("working")}, in.all()); diff != "" || !invalid.is(tt.caller, in.end) {
				t.Errorf("the stream ended with %+v, want %+v; the events (-want +got):\n%s", in.end, invalid, diff)
			}
			if got, want := g.record.entries(), "open, close "+string(audit.Unavailable); got != want {
				t.Errorf("the record says %q, want %q", got, want)
			}
		})
	}
}

// Who sees the end may ask for the record of it.
func TestStreams_AHeldEventIsRecordedBeforeItIsPassedOnAsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, rpc10, "", with(scripted{"SendStreamingMessage": says(
			rpcEvent(`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`) +
				rpcEvent(`{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}`))}))
		gate := make(chan struct{})
		g.record.hold(gate)
		reply, done := g.open(t, "message/stream", gatewaytest.Message03("m", "hi", ""))
		synctest.Wait()
		if got := reply.Body.String(); !strings.Contains(got, `"working"`) || strings.Contains(got, `"final":true`) {
			t.Errorf("while the record waits the caller has %s; want the first event and not the last", got)
		}
		close(gate)
		<-done
		if got := reply.Body.String(); !strings.Contains(got, `"final":true`) || g.record.entries() != "open, "+closed {
			t.Errorf("in the end the caller has %s, and the record says %q", got, g.record.entries())
		}
	})
}

func TestStreams_ATaskThatHasEndedIsRecordedBeforeItIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, agent := io.Pipe()
		g := newRig(t, rpc03, "", with(scripted{
			"message/send":      says(rpcReply(`{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}`)),
			"tasks/get":         says(rpcReply(`{"kind":"task","id":"t","contextId":"c","status":{"state":"completed"}}`)),
			"tasks/resubscribe": func(context.Context) (io.Reader, error) { return body, nil },
		}))
		_, done := g.open(t, "SendMessage", gatewaytest.Message("m", "hi", ""))
		<-done
		gate := make(chan struct{})
		g.record.hold(gate)
		reply, done := g.open(t, "SubscribeToTask", `{"id":"t"}`)
		look := func(when string) {
			t.Helper()
			synctest.Wait()
			if got := reply.Body.String(); strings.Contains(got, "COMPLETED") {
				t.Errorf("%s the caller has %s", when, got)
			}
		}
		look("before the agent answers")
		if err := agent.Close(); err != nil {
			t.Fatal(err)
		}
		look("while the record waits")
		close(gate)
		<-done
		if got := reply.Body.String(); !strings.Contains(got, "TASK_STATE_COMPLETED") {
			t.Errorf("in the end the caller has %s, want the task", got)
		}
		if got, want := g.record.entries(), "open, "+closed+", open, "+closed; got != want {
			t.Errorf("the record says %q, want %q", got, want)
		}
		if c := g.record.closing; c.TaskID != "t" || c.TaskState != "TASK_STATE_COMPLETED" {
			t.Errorf("the record says task %q, %s", c.TaskID, c.TaskState)
		}
	})
}

// The agent tells its task only when the gateway has read on, so one of them must give in.
func TestStreams_AnAgentThatDoesNotTellItsTaskHoldsAStreamNoLongerThanFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, agent := io.Pipe()
		read := make(chan struct{})
		go func() {
			defer close(read)
			for _, event := range []string{working03, completed03} {
				if _, err := io.WriteString(agent, rpcEvent(event)); err != nil {
					t.Errorf("the gateway did not read on: %v", err)
				}
			}
			_ = agent.Close()
		}()
		g := newRig(t, rpc03, "", with(scripted{
			"message/stream": func(context.Context) (io.Reader, error) { return body, nil },
			"tasks/get": func(ctx context.Context) (io.Reader, error) {
				select {
				case <-read:
					return strings.NewReader(rpcReply(`{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}`)), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
		}))
		begin := time.Now()
		reply, done := g.open(t, "SendStreamingMessage", gatewaytest.Message("m", "hi", ""))
		<-done
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the stream took %s", took)
		}
		got := reply.Body.String()
		if first, second := strings.Index(got, "TASK_STATE_WORKING"), strings.Index(got, "TASK_STATE_COMPLETED"); first < 0 || second < first {
			t.Errorf("the caller has %s, want both events", got)
		}
		if got, want := g.record.entries(), "open, "+closed; got != want {
			t.Errorf("the record says %q, want %q", got, want)
		}
	})
}

// Another task than the one of the stream may be another caller's.
func TestStreams_AnotherTaskThanTheOneAskedForIsNotPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		g := newRig(t, rpc03, "", with(scripted{
			"message/stream": says(rpcEvent(completed03)),
			"tasks/get": func(context.Context) (io.Reader, error) {
				asked++
				return strings.NewReader(rpcReply(`{"kind":"task","id":"other","contextId":"c9","status":{"state":"working"},"history":[` +
					`{"kind":"message","role":"user","messageId":"m","parts":[{"kind":"text","text":"another's"}]}]}`)), nil
			},
		}))
		reply, done := g.open(t, "SendStreamingMessage", gatewaytest.Message("m", "hi", ""))
		<-done
		if got := reply.Body.String(); asked != 1 || strings.Contains(got, "other") || !strings.Contains(got, "TASK_STATE_COMPLETED") {
			t.Errorf("the agent was asked %d times, and the caller has %s", asked, got)
		}
		if c := g.record.closing; c.TaskID != "t" || c.ContextID != "c" {
			t.Errorf("the record says task %q of context %q, want those of the stream", c.TaskID, c.ContextID)
		}
	})
}
