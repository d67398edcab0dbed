package cli

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
)

// quietGateway sends signs of life around its only event.
type quietGateway struct {
	auditv1connect.UnimplementedAuditServiceHandler
}

func (quietGateway) TailEvents(_ context.Context, _ *auditv1.TailEventsRequest, stream *connect.ServerStream[auditv1.TailEventsResponse]) error {
	for _, e := range []*auditv1.Event{nil, nil, {Name: "events/e", Method: "SendMessage"}, nil} {
		if err := stream.Send(&auditv1.TailEventsResponse{Event: e}); err != nil {
			return err
		}
	}
	return nil
}

func TestTail_PassesOverSignsOfLife(t *testing.T) {
	_, handler := auditv1connect.NewAuditServiceHandler(quietGateway{})
	server := httptest.NewServer(handler)
	defer server.Close()
	for format, want := range map[output]string{
		outputTable: "TIME ", outputJSON: `{"name":"events/e","method":"SendMessage"}`, outputYAML: "---\n",
	} {
		p, out, _ := quiet(format)
		m := newManagement(settings{server: server.URL})
		err := p.tail(t.Context(), m, &auditv1.TailEventsRequest{}, eventHeader())
		m.close()
		if err == nil || !strings.Contains(err.Error(), errTailEnded.Error()) {
			t.Errorf("%s: tail = %v, want that the stream ended", format, err)
		}
		got := out.String()
		if !strings.HasPrefix(got, want) || strings.Count(got, "SendMessage") != 1 || strings.Count(got, "TIME ") > 1 ||
			strings.Count(got, "---") > 1 || format != outputYAML && strings.Count(got, "\n") > 2 {
			t.Errorf("%s: tail printed %q, want one event", format, got)
		}
	}
}
