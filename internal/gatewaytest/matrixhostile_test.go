package gatewaytest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// hostileWant is what a client gets of a stream that the upstream spoils: events, the
// first a task, and an error after them. anyCode stands for an error of the gateway's.
type hostileWant struct {
	events int
	code   int
}

// anyCode is any error of the protocol or the gateway.
const anyCode = 1

// What an agent of one binding does wrong, a client of another is told in its own
// words, after everything that came before.
func TestMatrixHostile_StreamsEndAsTheyShould(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	framing := map[peers.Behaviour]hostileWant{
		peers.Proper:      {4, 0},
		peers.CRLF:        {4, 0},
		peers.MultiLine:   {4, 0},
		peers.Pretty:      {4, 0},
		peers.Split:       {4, 0},
		peers.Pings:       {4, 0},
		peers.Megabyte:    {3, 0},
		peers.SlowHeaders: {4, 0},
		peers.SlowFirst:   {4, 0},
		peers.NoLastBlank: {4, 0},
		peers.CutStream:   {2, anyCode},
		peers.CutEvent:    {1, anyCode},
		peers.ErrorFirst:  {0, -32001},
		peers.ErrorEvent:  {2, -32001},
		peers.HTML502:     {0, anyCode},
		peers.HTML200:     {0, anyCode},
		peers.BigEvent:    {1, anyCode}, // more than the gateway takes
	}
	frames := map[peers.Behaviour]hostileWant{
		peers.Proper:        {4, 0},
		peers.Split:         {4, 0},
		peers.Odd:           {4, 0},
		peers.Megabyte:      {4, 0},
		peers.SlowHeaders:   {4, 0},
		peers.SlowFirst:     {4, 0},
		peers.CutStream:     {2, anyCode},
		peers.CutEvent:      {1, anyCode},
		peers.ErrorFirst:    {0, -32001},
		peers.TrailersOnly:  {0, -32001},
		peers.ErrorEvent:    {2, -32001},
		peers.HTML502:       {0, anyCode},
		peers.HTML200:       {0, anyCode},
		peers.NoStatus:      {1, anyCode},
		peers.UnknownStatus: {0, anyCode},
		peers.Compressed:    {0, anyCode},
		peers.LongPrefix:    {0, anyCode},
		peers.NotProto:      {0, anyCode},
		peers.StatusMidway:  {0, anyCode},
		peers.BigEvent:      {2, anyCode},
	}
	for _, version := range []a2a.Version{a2a.V10, a2a.V03} {
		h := peers.StartHostile(t, peers.HostileConfig{Version: version.String(), Binding: a2a.REST, Delay: 50 * time.Millisecond})
		for b, want := range framing {
			name := hostileName("rest", version, b)
			g.Agent(name, "demo", h.Base(b))
			checkHostile(t, g, key, name, want)
		}
		for b, want := range frames {
			h := peers.StartHostileGRPC(t, b, 50*time.Millisecond)
			name := hostileName("grpc", version, b)
			g.Agent(name, "demo", h.URL, func(a *registryv1.Agent) { a.CardJson = h.Card(version.String()) })
			checkHostile(t, g, key, name, want)
		}
	}
}

func hostileName(binding string, version a2a.Version, b peers.Behaviour) string {
	return fmt.Sprintf("%s-%s-%s", binding, strings.ReplaceAll(version.String(), ".", ""), b)
}

// checkHostile streams from an agent in every dialect.
func checkHostile(t *testing.T, g *gatewaytest.Gateway, key, name string, want hostileWant) {
	for _, d := range a2a.Dialects {
		t.Run(name+" to "+d.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), rowTimeout)
			defer cancel()
			client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL(name), Key: key, Agent: name})
			var events []peers.StreamEvent
			err := client.Stream(ctx, peers.Message{ID: "m-" + name + d.String(), Parts: []peers.Part{{Text: "hi"}}}, func(e peers.StreamEvent) bool {
				events = append(events, e)
				return true
			})
			failed, _ := errors.AsType[*peers.CallError](err)
			switch {
			case len(events) != want.events:
				t.Errorf("%d events came, want %d; the end was %v", len(events), want.events, err)
			case want.code == 0 && err != nil:
				t.Errorf("the stream failed: %v", err)
			case want.code != 0 && (failed == nil || failed.Code == 0 && failed.GRPC == 0):
				t.Errorf("the stream ended with %v, want an error of the dialect", err)
			case want.code != 0 && want.code != anyCode && failed.Code != want.code:
				t.Errorf("the stream ended with %v, want code %d", err, want.code)
			case len(events) > 0 && events[0].Kind != "task":
				t.Errorf("the stream began with %+v", events[0])
			}
		})
	}
}

// An agent of 0.3 need not begin with the task; clients of 1.0 are promised that.
func TestMatrixHostile_ClientsOfTheNewVersionGetTheTaskFirst(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	rpc := peers.StartHostile(t, peers.HostileConfig{Version: "0.3"})
	rest := peers.StartHostile(t, peers.HostileConfig{Version: "0.3", Binding: a2a.REST})
	grpc := peers.StartHostileGRPC(t, peers.StatusFirst, 0)
	g.Agent("rpc", "demo", rpc.Base(peers.StatusFirst))
	g.Agent("rest", "demo", rest.Base(peers.StatusFirst))
	g.Agent("grpc", "demo", grpc.URL, func(a *registryv1.Agent) { a.CardJson = grpc.Card("0.3") })
	for _, name := range []string{"rpc", "rest", "grpc"} {
		for _, d := range a2a.Dialects[:3] {
			t.Run(name+" to "+d.String(), func(t *testing.T) {
				client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL(name), Key: key, Agent: name})
				var kinds []string
				err := client.Stream(t.Context(), peers.Message{ID: "m-1", Parts: []peers.Part{{Text: "hi"}}}, func(e peers.StreamEvent) bool {
					kinds = append(kinds, e.Kind)
					return true
				})
				if err != nil || len(kinds) < 4 || kinds[0] != "task" {
					t.Errorf("got %v, %v", kinds, err)
				}
			})
		}
	}
}

// A unary call of gRPC has one message, no more and no less.
func TestMatrixHostile_UnaryCallsHaveOneMessage(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, b := range []peers.Behaviour{
		peers.TwoMessages, peers.Empty, peers.NoStatus, peers.NotProto, peers.Compressed, peers.LongPrefix,
		peers.StatusMidway, peers.CutEvent, peers.HTML502, peers.UnknownStatus, peers.Huge,
	} {
		h := peers.StartHostileGRPC(t, b, 0)
		name := "unary-" + string(b)
		g.Agent(name, "demo", h.URL, func(a *registryv1.Agent) { a.CardJson = h.Card("1.0") })
		for _, d := range a2a.Dialects {
			t.Run(string(b)+" to "+d.String(), func(t *testing.T) {
				client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL(name), Key: key, Agent: name})
				answer, err := client.Send(t.Context(), peers.Message{ID: "m-1", Parts: []peers.Part{{Text: "hi"}}})
				if failed, ok := errors.AsType[*peers.CallError](err); !ok || failed.Code == 0 && failed.GRPC == 0 {
					t.Errorf("got %+v, %v, want an error of the dialect", answer, err)
				}
			})
		}
	}
}
