package peers_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// hostileOutcome is what an SDK makes of a hostile stream.
type hostileOutcome struct {
	events int
	code   int // of the protocol's error
	broken bool
}

func streamFrom(t *testing.T, client *peers.DialectClient) (hostileOutcome, *peers.CallError) {
	t.Helper()
	var o hostileOutcome
	message := peers.Message{ID: "m1", Parts: []peers.Part{{Text: "hi"}}}
	err := client.Stream(t.Context(), message, func(peers.StreamEvent) bool {
		o.events++
		return true
	})
	failed, _ := errors.AsType[*peers.CallError](err)
	if failed != nil {
		o.code = failed.Code
	}
	o.broken = err != nil && o.code == 0
	return o, failed
}

func TestStartHostile_REST(t *testing.T) {
	t.Parallel()
	for _, version := range []wire.Version{wire.V10, wire.V03} {
		h := peers.StartHostile(t, peers.HostileConfig{Version: version.String(), Binding: wire.REST, Delay: time.Millisecond})
		for b, want := range map[peers.Behaviour]hostileOutcome{
			peers.Proper:      {events: 4},
			peers.CutStream:   {events: 2, broken: true},
			peers.CutEvent:    {events: 1, broken: true},
			peers.CRLF:        {events: 4},
			peers.MultiLine:   {events: 4},
			peers.Pretty:      {events: 4},
			peers.Split:       {events: 4},
			peers.Pings:       {events: 4},
			peers.Megabyte:    {events: 3},
			peers.SlowHeaders: {events: 4},
			peers.SlowFirst:   {events: 4},
			peers.ErrorFirst:  {code: -32001},
			peers.ErrorEvent:  {events: 2, code: -32001},
			peers.NoLastBlank: {events: 4},
			peers.StatusFirst: {events: 3},
			peers.OddStream:   {events: 1},
			peers.Trailing:    {events: 5, broken: true},
			peers.Status500:   {code: -32001},
		} {
			t.Run(version.String()+"/"+string(b), func(t *testing.T) {
				t.Parallel()
				client := peers.NewDialectClient(t, wire.Dialect{Binding: wire.REST, Version: version}, peers.ClientConfig{Base: h.Base(b)})
				if b == peers.Status500 {
					_, err := client.Send(t.Context(), peers.Message{ID: "m1", Parts: []peers.Part{{Text: "hi"}}})
					if failed, ok := errors.AsType[*peers.CallError](err); !ok || failed.Code != want.code || failed.HTTP != 500 {
						t.Errorf("got %v", err)
					}
					return
				}
				if got, failed := streamFrom(t, client); got != want {
					t.Errorf("got %+v with error %v, want %+v", got, failed, want)
				}
			})
		}
	}
}

func TestStartHostileGRPC(t *testing.T) {
	t.Parallel()
	for _, version := range []wire.Version{wire.V10, wire.V03} {
		for b, want := range map[peers.Behaviour]struct {
			hostileOutcome

			status codes.Code
		}{
			peers.Proper:        {hostileOutcome{events: 4}, codes.OK},
			peers.CutStream:     {hostileOutcome{events: 2, broken: true}, codes.Internal},
			peers.CutEvent:      {hostileOutcome{events: 1, broken: true}, codes.Internal},
			peers.Megabyte:      {hostileOutcome{events: 4}, codes.OK},
			peers.Split:         {hostileOutcome{events: 4}, codes.OK},
			peers.Odd:           {hostileOutcome{events: 4}, codes.OK},
			peers.SlowHeaders:   {hostileOutcome{events: 4}, codes.OK},
			peers.SlowFirst:     {hostileOutcome{events: 4}, codes.OK},
			peers.StatusFirst:   {hostileOutcome{events: 3}, codes.OK},
			peers.Empty:         {hostileOutcome{}, codes.OK},
			peers.ErrorFirst:    {hostileOutcome{code: -32001}, codes.NotFound},
			peers.TrailersOnly:  {hostileOutcome{code: -32001}, codes.NotFound},
			peers.ErrorEvent:    {hostileOutcome{events: 2, code: -32001}, codes.NotFound},
			peers.HTML502:       {hostileOutcome{broken: true}, codes.Unavailable},
			peers.HTML200:       {hostileOutcome{broken: true}, codes.Unknown},
			peers.NoStatus:      {hostileOutcome{events: 1, broken: true}, codes.Internal},
			peers.UnknownStatus: {hostileOutcome{broken: true}, codes.Code(4711)},
			peers.Compressed:    {hostileOutcome{broken: true}, codes.Internal},
			peers.LongPrefix:    {hostileOutcome{broken: true}, codes.ResourceExhausted},
			peers.NotProto:      {hostileOutcome{broken: true}, codes.Internal},
			peers.StatusMidway:  {hostileOutcome{broken: true}, codes.Internal},
		} {
			t.Run(version.String()+"/"+string(b), func(t *testing.T) {
				t.Parallel()
				h := peers.StartHostileGRPC(t, b, time.Millisecond)
				client := peers.NewDialectClient(t, wire.Dialect{Binding: wire.GRPC, Version: version}, peers.ClientConfig{Card: h.Card(version.String())})
				got, failed := streamFrom(t, client)
				var status codes.Code
				if failed != nil {
					status = failed.GRPC
				}
				if got != want.hostileOutcome || status != want.status {
					t.Errorf("got %+v, status %s, with error %v, want %+v", got, status, failed, want)
				}
				if calls := h.Calls(); len(calls) != 1 {
					t.Errorf("%d calls were kept", len(calls))
				}
			})
		}
	}
}

func TestStartHostileGRPC_BehavesByTheMessageID(t *testing.T) {
	t.Parallel()
	h := peers.StartHostileGRPC(t, peers.Proper, 0)
	for _, version := range []wire.Version{wire.V10, wire.V03} {
		client := peers.NewDialectClient(t, wire.Dialect{Binding: wire.GRPC, Version: version}, peers.ClientConfig{Card: h.Card(version.String())})
		_, err := client.Send(t.Context(), peers.Message{ID: peers.HostilePrefix + "two-messages-1", Parts: []peers.Part{{Text: "hi"}}})
		if failed, ok := errors.AsType[*peers.CallError](err); !ok || failed.GRPC == codes.OK {
			t.Errorf("two messages where one was due were taken: %v", err)
		}
	}
}
