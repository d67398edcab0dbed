package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }

// quiet is a program that prints to memory.
func quiet(format output) (*program, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	p := newProgram(Config{
		Out: &out, Err: &errs, Getenv: func(string) string { return "" },
		Clock: clock.Func(func() time.Time { return now }), Location: time.UTC,
	})
	p.flags.output = format
	return p, &out, &errs
}

func TestPrint_Golden(t *testing.T) {
	agent := &registryv1.Agent{
		Name: "agents/weather", Uid: "1e9dbec8-18ec-4af0-b51a-a6384d56cd76", Team: "teams/research",
		DisplayName: "Weather", Description: "Tells the weather.\nEverywhere.", Tags: []string{"internal", "yes"},
		Visibility: registryv1.Visibility_VISIBILITY_ORGANIZATION, State: registryv1.State_STATE_APPROVED,
		Endpoints:  []*registryv1.Endpoint{{Url: "https://a.example", Weight: 3}, {Url: "https://b.example"}},
		CardSource: registryv1.CardSource_CARD_SOURCE_FETCHED,
		Interfaces: []*registryv1.Interface{
			{Binding: "JSONRPC", Version: "1.0", Url: "https://a.example/rpc"},
			{Binding: "JSONRPC", Version: "0.3", Url: "https://a.example/rpc"},
			{Binding: "JSONRPC", Version: "1.0", Url: "https://b.example/rpc"},
		},
		Push: registryv1.PushMode_PUSH_MODE_OFF, Revision: 1 << 60, Etag: "ABC",
		PreferredDialects: []string{"JSONRPC/0.3", "JSONRPC/1.0"}, CardShape: registryv1.CardShape_CARD_SHAPE_UNION,
		CardKeys: `{"keys":[{"kty":"EC","kid":"k-1"},{"kty":"EC"}]}`,
		CardVerification: &registryv1.CardVerification{
			State: registryv1.CardVerificationState_CARD_VERIFICATION_STATE_VERIFIED, KeyId: "k-1",
		},
		Routes: []*registryv1.Route{
			{Dialect: "JSONRPC/1.0", Address: "/a2a/weather", UpstreamDialect: "JSONRPC/0.3", Translated: true},
			{Dialect: "JSONRPC/0.3", Address: "https://gw.example/a2a/weather", UpstreamDialect: "JSONRPC/0.3"},
			{Dialect: "GRPC/1.0", Selector: "tenant=weather", UpstreamDialect: "JSONRPC/0.3", Translated: true},
			{Dialect: "GRPC/0.3", Address: "gw.example:443", Selector: "x-signalbox-agent=weather", UpstreamDialect: "JSONRPC/0.3", Translated: true},
		},
		CreateTime: before(40 * day), UpdateTime: before(5 * time.Minute),
	}
	suspended := &registryv1.Agent{
		Name: "agents/leaky", Team: "teams/research", State: registryv1.State_STATE_SUSPENDED,
		Suspension: &registryv1.Suspension{
			StateBefore: registryv1.State_STATE_DEPRECATED, Reason: "It leaks\nnames.", SuspendTime: before(time.Minute),
		},
		Rollout: &rolloutv1.Rollout{
			Revision: 44, ConfirmedCount: 2, UnconfirmedCount: 1, UnconfirmedReplicas: []*rolloutv1.UnconfirmedReplica{
				{Uid: "1e9dbec8-18ec-4af0-b51a-a6384d56cd76", ServedRevision: 41, LastSeenTime: before(3 * time.Second)},
			},
		},
		Revision: 1,
	}
	key := &identityv1.Key{
		Name: "teams/research/keys/ci", Uid: "u", DisplayName: "CI", SecretHint: "sb_abcd", ExpireTime: timestamppb.New(now.Add(90 * day)),
		PreviousSecretExpireTime: timestamppb.New(now.Add(day)), LastUsedTime: before(3 * time.Second), CreateTime: before(day), Etag: "E",
	}
	event := &auditv1.Event{
		Name: "events/01a2026e-e779-7847-9165-cd1a1b0857b8", Sequence: 12, Time: before(time.Hour), IngestTime: before(time.Hour - time.Second),
		Duration: durationpb.New(1234567 * time.Nanosecond), TimeToFirstByte: durationpb.New(987 * time.Microsecond),
		Outcome: auditv1.Outcome_OUTCOME_REFUSED, Count: 1, CallerLeft: true,
		Error:  &auditv1.CallError{Code: -31404, Reason: "AGENT_NOT_FOUND", Message: "there is no agent\x1b[2J of this name"},
		Caller: "teams/research/keys/ci", Team: "teams/research", SourceAddress: "127.0.0.1", UserAgent: "curl/8",
		Agent: "agents/weather", Method: "SendMessage", Dialect: "JSONRPC/1.0", UpstreamDialect: "GRPC/0.3", RequestId: "1", TaskId: "t-1", TaskState: "TASK_STATE_WORKING",
		Decision: &auditv1.Decision{
			Permitted: true, Rules: []string{"own-team/agents", "g-12"}, Revision: 7, Principal: "user:users/okta~ada",
			Action: "SendMessage", Resource: "agent:weather", Id: "decisions/01a2026e-e779-7847-9165-cd1a1b0857b8",
			Context:      map[string]string{"method": "message/send"},
			ClaimedTeams: []string{"teams/research"}, ClaimedRoles: []string{"teams/research/roles/publisher"},
			Failing: []*auditv1.DecisionFailure{{Statement: "night/2", Effect: "permit", Text: "no such attribute"}},
			Shadow:  &auditv1.ShadowDecision{Failing: []*auditv1.DecisionFailure{{Statement: "draft", Effect: "permit", Text: "overflow"}}},
		},
		RequestBytes: 200, ResponseBytes: 300, StreamEvents: 4, HttpStatus: 404,
	}
	summary := &auditv1.Event{
		Name: "events/01a2026e-e779-7847-9165-cd1a1b0857b9", Sequence: 13, Time: before(time.Hour), IngestTime: before(time.Hour - time.Second),
		Duration: durationpb.New(time.Second), Outcome: auditv1.Outcome_OUTCOME_SUMMARY, Count: 1200,
		Error: &auditv1.CallError{Message: "1200 calls from more than 4096 sources: CREDENTIALS_INVALID 1000, KEY_EXPIRED 200"},
		Refusals: &auditv1.Refusals{Sources: 4096, SourcesCapped: true, Authenticated: 3, Reasons: []*auditv1.RefusalReason{
			{Reason: "CREDENTIALS_INVALID", Count: 1000}, {Reason: "KEY_EXPIRED", Count: 200},
		}},
	}
	p, _, _ := quiet(outputTable)
	tests := []struct {
		name string
		msg  proto.Message
		show func() table
	}{
		{"agent", agent, func() table { return p.agentDetail(agent, "http://127.0.0.1:8080") }},
		{"agents", &registryv1.ListAgentsResponse{Agents: []*registryv1.Agent{agent}}, func() table {
			return table{header: []string{"NAME", "SPEAKS", "ENDPOINTS", "CHANGED", "NOTHING"}, rows: [][]string{
				{short(agent.GetName()), speaks(agent), endpointsText(agent), p.ago(agent.GetUpdateTime()), ""},
			}}
		}},
		{"suspended", suspended, func() table { return p.agentDetail(suspended, "http://127.0.0.1:8080") }},
		{"key", key, func() table { return p.keyDetail(key) }},
		{"event", event, func() table { return p.eventDetail(event) }},
		{"summary", summary, func() table { return p.eventDetail(summary) }},
		{"events", &auditv1.ListEventsResponse{Events: []*auditv1.Event{event}}, func() table {
			return table{header: eventHeader(), rows: [][]string{p.eventRow(event)}}
		}},
	}
	for _, tt := range tests {
		for _, format := range outputs() {
			t.Run(tt.name+"/"+format, func(t *testing.T) {
				p, out, _ := quiet(output(format))
				if err := p.print(tt.msg, tt.show); err != nil {
					t.Fatal(err)
				}
				golden(t, tt.name+"."+format, out.Bytes())
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); write it anew with -update:\n%s", path, diff)
	}
}

func TestJSONToYAML_KeepsOrderNumbersAndTypes(t *testing.T) {
	const given = `{"z":9007199254740993,"a":"true","n":null,"t":true,"num":"12","multi":"a\nb\n","list":[{"x":1},[]],"e":{},"old":["yes","12:30:00"],"uni":"\u00e9 \"q\" # c: d","ctl":"\u0007"}`
	const want = `z: 9007199254740993
a: "true"
"n": null
t: true
num: "12"
multi: |
  a
  b
list:
  - x: 1
  - []
e: {}
old:
  - "yes"
  - "12:30:00"
uni: 'é "q" # c: d'
ctl: "\a"
`
	got, err := jsonToYAML([]byte(given))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
}

func TestHuman_Times(t *testing.T) {
	p, _, _ := quiet(outputTable)
	for d, want := range map[time.Duration]string{
		0: "now", 59 * time.Second: "59s ago", 90 * time.Second: "2m ago", 3 * time.Hour: "3h ago", 47 * time.Hour: "47h ago",
		5*day - time.Second: "5d ago", -time.Minute: "in 1m", -5*day + time.Second: "in 5d",
	} {
		if got := p.ago(before(d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	for text, want := range map[string]time.Time{
		"10m": now.Add(10 * time.Minute), "7d": now.Add(7 * day), "2027-02-01": now.Add(12 * time.Hour),
		"2027-02-01T00:00:00+01:00": now.Add(11 * time.Hour), "2027-02-01 06:30": now.Add(18*time.Hour + 30*time.Minute),
	} {
		got, err := p.parseExpiry(text)
		if err != nil || !got.Equal(want) {
			t.Errorf("parseExpiry(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1dd", "-5m", "soon", "2027-13-01", "99999999d"} {
		if got, err := p.parseAge(text); err == nil {
			t.Errorf("parseAge(%q) = %v, want an error", text, got)
		}
	}
}

func TestKeyName_TakesEveryForm(t *testing.T) {
	tests := []struct{ name, team, want string }{
		{"teams/a/keys/k", "", "teams/a/keys/k"},
		{"a/k", "", "teams/a/keys/k"},
		{"k", "a", "teams/a/keys/k"},
		{"k", "teams/a", "teams/a/keys/k"},
		{"a/k", "a", "teams/a/keys/k"},
		{"a/k", "b", ""},
		{"k", "", ""},
		{"teams/a/k", "", ""},
	}
	for _, tt := range tests {
		got, err := keyName(tt.name, tt.team)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("keyName(%q, %q) = %q, %v, want %q", tt.name, tt.team, got, err, tt.want)
		}
	}
}
