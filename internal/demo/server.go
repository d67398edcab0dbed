package demo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

const (
	rpcPath           = "/rpc"
	readHeaderTimeout = 10 * time.Second
)

// agentSpec is what an agent is and does.
type agentSpec struct {
	id, name, description string
	skills                []a2a.AgentSkill
	work                  work
}

// work answers one message. It stops when ctx ends, which is when the task was
// cancelled or the agent is stopped, and when say returns false.
type work func(ctx context.Context, ec *a2asrv.ExecutorContext, text string, say func(a2a.Event) bool)

// agentServer is a running agent.
type agentServer struct {
	spec   agentSpec
	url    string
	server *http.Server
	served chan error
	tasks  *executor
}

// startAgent serves an agent on a loopback port.
func startAgent(ctx context.Context, spec agentSpec, logger *slog.Logger) (*agentServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start agent %s: %w", spec.id, err)
	}
	logger = logger.With(slog.String("component", "demo"), slog.String("agent", spec.id))
	s := &agentServer{
		spec: spec, url: "http://" + listener.Addr().String(), served: make(chan error, 1), tasks: newExecutor(spec.work),
	}
	capabilities := a2a.AgentCapabilities{Streaming: true}
	handler := a2asrv.NewHandler(s.tasks,
		a2asrv.WithCapabilityChecks(&capabilities), a2asrv.WithLogger(logger))
	card := &a2a.AgentCard{
		Name: spec.name, Description: spec.description, Version: "1.0.0", Skills: spec.skills,
		SupportedInterfaces: []*a2a.AgentInterface{a2a.NewAgentInterface(s.url+rpcPath, a2a.TransportProtocolJSONRPC)},
		Capabilities:        capabilities,
		DefaultInputModes:   []string{"text/plain"}, DefaultOutputModes: []string{"text/plain"},
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+rpcPath, a2asrv.NewJSONRPCHandler(handler))
	mux.Handle(a2asrv.WellKnownAgentCardPath, a2asrv.NewStaticAgentCardHandler(card))
	s.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

// close stops the agent at once and waits for what it was doing.
func (s *agentServer) close() error {
	s.tasks.close()
	err := s.server.Close()
	if e := <-s.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// executor runs the work of an agent as tasks.
type executor struct {
	work work
	stop chan struct{} // closed when the agent stops

	mu     sync.Mutex
	closed bool
	busy   sync.WaitGroup // executions
}

var _ a2asrv.AgentExecutor = (*executor)(nil)

func newExecutor(w work) *executor { return &executor{work: w, stop: make(chan struct{})} }

// begin counts an execution; false means that the agent stops.
func (e *executor) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.busy.Add(1)
	return true
}

// close ends all executions and waits for them.
func (e *executor) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.stop)
	e.busy.Wait()
}

func (e *executor) stopped() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

var errStopped = errors.New("the agent is stopping")

// Execute answers a message with a task.
func (e *executor) Execute(ctx context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	text := textOf(ec.Message.Parts)
	return func(yield func(a2a.Event, error) bool) {
		if !e.begin() {
			yield(nil, errStopped)
			return
		}
		defer e.busy.Done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			select {
			case <-e.stop:
				cancel()
			case <-ended:
			}
		}()

		open := true // somebody listens, and the task has not ended
		say := func(event a2a.Event) bool {
			open = open && yield(event, nil)
			if update, ok := event.(*a2a.TaskStatusUpdateEvent); ok && update.Status.State.Terminal() {
				open = false
			}
			return open
		}
		if ec.StoredTask == nil && !say(a2a.NewSubmittedTask(ec, ec.Message)) {
			return
		}
		if say(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateWorking, nil)) {
			e.work(ctx, ec, text, say)
		}
		if open && e.stopped() {
			say(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateFailed,
				a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart("the agent was stopped"))))
		}
	}
}

// Cancel cancels a task; the library then ends the context of its execution.
func (*executor) Cancel(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCanceled, nil), nil)
	}
}

// answer is an artifact that is said in pieces.
type answer struct {
	ec   *a2asrv.ExecutorContext
	id   a2a.ArtifactID
	name string
	say  func(a2a.Event) bool
	any  bool
}

func newAnswer(ec *a2asrv.ExecutorContext, name string, say func(a2a.Event) bool) *answer {
	return &answer{ec: ec, id: a2a.NewArtifactID(), name: name, say: say}
}

// add says the next piece.
func (a *answer) add(text string, last bool) bool {
	event := a2a.NewArtifactUpdateEvent(a.ec, a.id, a2a.NewTextPart(text))
	event.Artifact.Name = a.name
	event.Append = a.any
	event.LastChunk = last
	a.any = true
	return a.say(event)
}

// finish says that the task is done.
func finish(ec *a2asrv.ExecutorContext, say func(a2a.Event) bool) {
	say(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCompleted, nil))
}

// pause waits, as work does; false means that nobody waits any more.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func textOf(parts a2a.ContentParts) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text())
	}
	return b.String()
}
