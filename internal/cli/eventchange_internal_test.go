package cli

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
)

func object(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func updated(t *testing.T) *auditv1.Event {
	t.Helper()
	return &auditv1.Event{
		Name: "events/01a2026e-e779-7847-9165-cd1a1b0857b8", Sequence: 14, Time: before(0), IngestTime: before(0),
		Plane: auditv1.Plane_PLANE_MANAGEMENT, Outcome: auditv1.Outcome_OUTCOME_SUCCEEDED, Count: 1, Duration: durationpb.New(12_300_000),
		Caller: "teams/research/keys/ci", Team: "teams/research", SourceAddress: "127.0.0.1", UserAgent: "signalbox", Dialect: "CONNECT",
		Method: "signalbox.registry.v1.RegistryService/UpdateAgent", Resource: "agents/weather", Revision: 41, HttpStatus: 200,
		Decision: &auditv1.Decision{
			Permitted: true, Rules: []string{"own-team"}, Revision: 40, Principal: "teams/research/keys/ci", Action: "write", Resource: "agents/weather",
		},
		Before: object(t, `{"name":"agents/weather","displayName":"Weather","revision":"3","tags":["a","b"],"etag":"X","trusted":true,
			"cardJson":{"@cut":{"bytes":52311,"sha256":"0123456789abcdef"}},"endpoints":[{"url":"http://a","weight":1}]}`),
		After: object(t, `{"name":"agents/weather","displayName":"Weather\u001b[2J\n2","revision":"4","tags":["a","b","c"],"etag":"Y",
			"cardJson":{"name":"W","n":null,"list":[]},"endpoints":[{"url":"http://a","weight":2}],"description":"`+strings.Repeat("long ", 100)+`"}`),
	}
}

func TestPrint_GoldenOfAChange(t *testing.T) {
	for _, format := range outputs() {
		p, out, _ := quiet(output(format))
		e := updated(t)
		if err := p.print(e, func() table {
			t := p.eventDetail(e)
			t.below = changeTable(e)
			return t
		}); err != nil {
			t.Fatal(err)
		}
		golden(t, "change."+format, out.Bytes())
	}
	p, out, _ := quiet(outputTable)
	f := eventFlags{management: true}
	if err := p.printTable(table{header: f.header(), rows: [][]string{p.eventRow(updated(t))}}); err != nil {
		t.Fatal(err)
	}
	golden(t, "changes.table", out.Bytes())
}

func TestChange_TellsNewGoneAndUnchangedApart(t *testing.T) {
	resource := object(t, `{"a":1,"b":{},"c":[true,{"d":"x"}]}`)
	for name, tc := range map[string]struct {
		before, after *structpb.Struct
		want          string
	}{
		"created":   {nil, resource, "+ a 1|+ b {}|+ c[0] true|+ c[1].d \"x\""},
		"deleted":   {resource, nil, "- a 1|- b {}|- c[0] true|- c[1].d \"x\""},
		"unchanged": {resource, resource, "nothing was changed it was so already"},
		"in order":  {object(t, `{"l":[0,0,0,0,0,0,0,0,0,0,0]}`), object(t, `{"l":[0,0,1,0,0,0,0,0,0,0,1]}`), "~ l[2] 0 → 1|~ l[10] 0 → 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var rows []string
			for _, row := range changeTable(&auditv1.Event{Before: tc.before, After: tc.after}).rows {
				rows = append(rows, strings.Join(row, " "))
			}
			if got := strings.Join(rows, "|"); got != tc.want {
				t.Errorf("changes %q, want %q", got, tc.want)
			}
		})
	}
	if changeTable(&auditv1.Event{}) != nil {
		t.Error("a call that changed nothing has changes")
	}
}

func TestEventFlags_ChooseThePlane(t *testing.T) {
	for name, tc := range map[string]struct {
		flags eventFlags
		want  string
	}{
		"preset":              {eventFlags{}, `plane = "DATA"`},
		"management":          {eventFlags{management: true}, `plane = "MANAGEMENT"`},
		"management method":   {eventFlags{management: true, method: "UpdateAgent"}, `plane = "MANAGEMENT" AND method : "/UpdateAgent"`},
		"full method":         {eventFlags{plane: "management", method: "a.B/C"}, `plane = "MANAGEMENT" AND method = "a.B/C"`},
		"resource":            {eventFlags{resource: "agents/a"}, `plane = "MANAGEMENT" AND resource = "agents/a"`},
		"both":                {eventFlags{plane: "all", method: "GetTask"}, `method = "GetTask"`},
		"a filter of its own": {eventFlags{filter: `team=a AND plane!=DATA`}, `team=a AND plane!=DATA`},
		"a filter of another": {eventFlags{filter: `agent="plane="`}, `agent="plane=" AND plane = "DATA"`},
	} {
		p, _, _ := quiet(outputTable)
		if got, err := tc.flags.text(p); err != nil || got != tc.want {
			t.Errorf("%s: filter %s, %v; want %s", name, got, err, tc.want)
		}
	}
	p, _, _ := quiet(outputTable)
	for _, f := range []eventFlags{{plane: "control"}, {plane: "data", management: true}} {
		if got, err := f.text(p); err == nil {
			t.Errorf("%+v is taken as %s", f, got)
		}
	}
}
