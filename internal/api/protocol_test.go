package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

const (
	createTeam = "/signalbox.identity.v1.IdentityService/CreateTeam"
	listTeams  = "/signalbox.identity.v1.IdentityService/ListTeams"
	tailEvents = "/signalbox.audit.v1.AuditService/TailEvents"
)

// wireError is an error as a person with curl sees it.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

func (e wireError) info(t *testing.T) *errdetails.ErrorInfo {
	t.Helper()
	for _, d := range e.Details {
		if d.Type != "google.rpc.ErrorInfo" {
			continue
		}
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		must(t, err)
		var info errdetails.ErrorInfo
		must(t, proto.Unmarshal(raw, &info))
		return &info
	}
	return nil
}

func TestPlainJSON_EveryRefusalHasStatusTextAndReason(t *testing.T) {
	p := newPlane(t)
	deep := strings.Repeat("[", 20_000)
	tests := map[string]struct {
		method, path, contentType, secret, body string
		status                                  int
		code, reason, text                      string
	}{
		"unknown field":                    {path: createTeam, body: `{"teamId":"x","teem":{}}`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "teem"},
		"unknown field of a nested object": {path: createTeam, body: `{"teamId":"x","team":{"displayname":"x"}}`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "displayname"},
		"with a charset":                   {path: createTeam, contentType: "application/json; charset=utf-8", body: `{"teem":1}`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "teem"},
		"malformed":                        {path: createTeam, body: `{"teamId":`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST"},
		"field twice":                      {path: createTeam, body: `{"teamId":"x","teamId":"y"}`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "teamId"},
		"wrong type":                       {path: createTeam, body: `{"teamId":1}`, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "teamId"},
		"no body":                          {path: createTeam, body: ``, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "empty"},
		"deep nesting":                     {path: createTeam, body: `{"team":` + deep, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST"},
		"broken rule":                      {path: createTeam, body: `{"teamId":"No!"}`, status: 400, code: "invalid_argument", reason: "INVALID_ARGUMENT", text: "team_id"},
		"too large":                        {path: createTeam, body: `{"teamId":"` + strings.Repeat("x", api.DefaultMaxRequest) + `"}`, status: 429, code: "resource_exhausted", reason: "REQUEST_TOO_LARGE"},
		"no credential":                    {path: createTeam, secret: "-", body: `{}`, status: 401, code: "unauthenticated", reason: "CREDENTIALS_MISSING", text: "Bearer"},
		"wrong credential":                 {path: createTeam, secret: "sb_wrong", body: `{}`, status: 401, code: "unauthenticated", reason: "CREDENTIALS_INVALID"},
		"no credential, malformed":         {path: createTeam, secret: "-", body: `{`, status: 401, code: "unauthenticated", reason: "CREDENTIALS_MISSING"},
		"unknown method":                   {path: "/signalbox.identity.v1.IdentityService/MakeTeam", body: `{}`, status: 404, code: "unimplemented", reason: "NOT_FOUND", text: "MakeTeam"},
		"unknown service":                  {path: "/signalbox.identity.v2.IdentityService/CreateTeam", body: `{}`, status: 404, code: "unimplemented", reason: "NOT_FOUND"},
		"no method":                        {path: "/signalbox.identity.v1.IdentityService", body: `{}`, status: 404, code: "unimplemented", reason: "NOT_FOUND"},
		"content type":                     {path: createTeam, contentType: "text/plain", body: `{}`, status: 415, code: "invalid_argument", reason: "CONTENT_TYPE_UNSUPPORTED", text: "application/json"},
		"form":                             {path: createTeam, contentType: "application/x-www-form-urlencoded", body: `a=b`, status: 415, code: "invalid_argument", reason: "CONTENT_TYPE_UNSUPPORTED"},
		"stream as JSON":                   {path: tailEvents, body: `{}`, status: 415, code: "invalid_argument", reason: "CONTENT_TYPE_UNSUPPORTED", text: "stream"},
		"GET of a write":                   {method: "GET", path: createTeam, status: 405, code: "unimplemented", reason: "METHOD_NOT_ALLOWED", text: "POST"},
		"DELETE":                           {method: "DELETE", path: listTeams, status: 405, code: "unimplemented", reason: "METHOD_NOT_ALLOWED", text: "GET, POST"},
		"GET without a message":            {method: "GET", path: listTeams, status: 400, code: "invalid_argument", reason: "MALFORMED_REQUEST", text: "parameter"},
		"absent team":                      {path: "/signalbox.identity.v1.IdentityService/GetTeam", body: `{"name":"teams/x"}`, status: 404, code: "not_found", reason: "TEAM_NOT_FOUND", text: "teams/x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			method, contentType, secret := tc.method, tc.contentType, tc.secret
			if method == "" {
				method = http.MethodPost
			}
			if contentType == "" {
				contentType = "application/json"
			}
			switch secret {
			case "":
				secret = adminSecret
			case "-":
				secret = ""
			}
			req, err := http.NewRequestWithContext(t.Context(), method, p.url+tc.path, strings.NewReader(tc.body))
			must(t, err)
			req.Header.Set("Content-Type", contentType)
			res, body := p.do(t, req, secret)
			var got wireError
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("HTTP %d with a body that is no JSON: %q", res.StatusCode, body)
			}
			info := got.info(t)
			if res.StatusCode != tc.status || got.Code != tc.code || info.GetReason() != tc.reason || info.GetDomain() != "signalbox.dev" ||
				!strings.Contains(got.Message, tc.text) {
				t.Errorf("HTTP %d %s %s: %q; want HTTP %d %s %s with %q", res.StatusCode, got.Code, info.GetReason(), got.Message,
					tc.status, tc.code, tc.reason, tc.text)
			}
			if want := "application/json"; res.Header.Get("Content-Type") != want {
				t.Errorf("content type %q, want %q", res.Header.Get("Content-Type"), want)
			}
			if challenge := res.Header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, `Bearer realm="signalbox"`) != (tc.status == 401) {
				t.Errorf("HTTP %d with WWW-Authenticate %q", tc.status, challenge)
			}
			if res.Header.Get("X-Signalbox-Revision") == "" {
				t.Error("the answer names no revision")
			}
			if strings.Contains(body, "goroutine") || strings.Contains(body, ".go:") {
				t.Errorf("the answer shows the inside: %s", body)
			}
		})
	}
}

func TestGRPC_RefusalsBeforeTheHandlerHaveReasonsToo(t *testing.T) {
	p := newPlane(t)
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	admin := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminSecret)
	reasonOf := func(err error) string {
		for _, d := range status.Convert(err).Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok {
				return info.GetReason()
			}
		}
		return ""
	}
	list := &identityv1.ListTeamsRequest{}
	for name, tc := range map[string]struct {
		ctx    context.Context
		method string
		req    any
		opts   []grpc.CallOption
		code   codes.Code
		reason string
	}{
		"no credential":  {t.Context(), listTeams, list, nil, codes.Unauthenticated, "CREDENTIALS_MISSING"},
		"unknown method": {admin, "/signalbox.identity.v1.IdentityService/MakeTeam", list, nil, codes.Unimplemented, "NOT_FOUND"},
		"too large":      {admin, createTeam, &identityv1.CreateTeamRequest{TeamId: strings.Repeat("x", api.DefaultMaxRequest)}, nil, codes.ResourceExhausted, "REQUEST_TOO_LARGE"},
		"not a message":  {admin, createTeam, &identityv1.CreateTeamRequest{TeamId: "x"}, []grpc.CallOption{grpc.ForceCodec(garbage{})}, codes.InvalidArgument, "MALFORMED_REQUEST"},
		"broken rule":    {admin, createTeam, &identityv1.CreateTeamRequest{TeamId: "No!"}, nil, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"compression":    {admin, listTeams, list, []grpc.CallOption{grpc.UseCompressor("")}, codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := conn.Invoke(tc.ctx, tc.method, tc.req, &identityv1.ListTeamsResponse{}, tc.opts...)
			if status.Code(err) != tc.code || reasonOf(err) != tc.reason {
				t.Errorf("%v with reason %q, want %v with %q", err, reasonOf(err), tc.code, tc.reason)
			}
		})
	}
}

// A request of the wrong shape is the caller's fault, whatever codes gRPC has for it.
func TestEnvelopes_ThatAreCutOffOrMissingAreMalformed(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	message := "\x00\x00\x00\x00\x02{}"
	for _, path := range []string{tailEvents, listTeams} {
		for _, contentType := range []string{"application/grpc+json", "application/grpc-web+json", "application/connect+json"} {
			if path == listTeams && contentType == "application/connect+json" {
				continue // for streams only
			}
			for name, body := range map[string]string{
				"no message": "", "cut off in the prefix": message[:3], "cut off in the message": message[:6], "two messages": message + message,
			} {
				t.Run(path+" "+contentType+" "+name, func(t *testing.T) {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader(body))
					must(t, err)
					req.Header.Set("Content-Type", contentType)
					req.Header.Set("Authorization", "Bearer "+secret)
					before := strings.Count(p.log.String(), "reason=MALFORMED_REQUEST")
					res, err := p.http.Do(req)
					must(t, err)
					text, err := io.ReadAll(res.Body)
					must(t, err)
					must(t, res.Body.Close())
					answer := string(text)
					for _, header := range []http.Header{res.Header, res.Trailer} {
						answer += " grpc-status: " + header.Get("Grpc-Status")
					}
					if !strings.Contains(answer, "invalid_argument") && !strings.Contains(answer, "grpc-status: 3") {
						t.Errorf("answered %q, want code invalid_argument", answer)
					}
					if n := strings.Count(p.log.String(), "reason=MALFORMED_REQUEST"); n != before+1 {
						t.Errorf("%d calls were logged as malformed, want 1; log ends with %s", n-before, p.log.String()[max(0, len(p.log.String())-300):])
					}
				})
			}
		}
	}
}

// Cards that would take far more memory than they have bytes are refused, however
// many come at once.
func TestLargeCards_ManyAtOnceAreRefusedOneByOne(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	body := `{"agentId":"x","agent":{"endpoints":[{"url":"http://127.0.0.1:9"}],"card":{"a":[` + strings.Repeat("[],", 60_000) + `[]]}}}`
	var callers sync.WaitGroup
	for range 6 {
		callers.Go(func() {
			res, text := p.post(t, "/signalbox.registry.v1.RegistryService/CreateAgent", "application/json", secret, body)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, "50000") {
				t.Errorf("HTTP %d: %.200s; want that the card has too many values", res.StatusCode, text)
			}
		})
	}
	callers.Wait()
}

func TestLargeRequests_WaitNoLongerThanACallMayTake(t *testing.T) {
	p := newPlane(t, func(c *api.Config) { c.Timeout = 50 * time.Millisecond })
	_, secret := p.team(t, "demo")
	// Two bodies of unknown size that do not end take all the room.
	var stuck sync.WaitGroup
	for range 2 {
		read, write := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/signalbox.registry.v1.RegistryService/CreateAgent", read)
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+secret)
		req.ContentLength = api.DefaultMaxRequest
		stuck.Go(func() {
			res, err := p.http.Do(req)
			if err == nil {
				_ = res.Body.Close()
			}
		})
		_, err = write.Write(make([]byte, 100_000))
		must(t, err)
		t.Cleanup(stuck.Wait)
		t.Cleanup(cancel)
		t.Cleanup(func() { _ = write.Close() })
	}
	card := `{"agentId":"x","agent":{"endpoints":[{"url":"http://127.0.0.1:9"}],"description":"` + strings.Repeat("x", 100_000) + `"}}`
	eventually(t, "a large request to be refused", func() bool {
		res, text := p.post(t, "/signalbox.registry.v1.RegistryService/CreateAgent", "application/json", secret, card)
		return res.StatusCode == http.StatusTooManyRequests && strings.Contains(text, "other large requests")
	})
	if res, text := p.post(t, listTeams, "application/json", secret, "{}"); res.StatusCode != http.StatusOK {
		t.Errorf("a small request meanwhile: HTTP %d: %s", res.StatusCode, text)
	}
}

// garbage sends what no message reads as.
type garbage struct{}

func (garbage) Marshal(any) ([]byte, error)     { return []byte{0x0a, 0xff, 0x01}, nil }
func (garbage) Unmarshal(_ []byte, _ any) error { return nil }
func (garbage) Name() string                    { return "proto" }

func TestGRPCWeb_RefusalBeforeTheHandlerHasAReason(t *testing.T) {
	p := newPlane(t)
	_, err := p.as(adminSecret, connect.WithGRPCWeb()).CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: strings.Repeat("x", api.DefaultMaxRequest)})
	refused(t, err, connect.CodeResourceExhausted, "REQUEST_TOO_LARGE")
}

func TestGet_ServesMethodsWithoutSideEffects(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	query := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {`{"name":"teams/demo"}`}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/signalbox.identity.v1.IdentityService/GetTeam?"+query.Encode(), nil)
	must(t, err)
	res, body := p.do(t, req, adminSecret)
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "teams/demo") {
		t.Errorf("HTTP %d: %s", res.StatusCode, body)
	}
	query.Set("message", `{"nome":"teams/demo"}`)
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/signalbox.identity.v1.IdentityService/GetTeam?"+query.Encode(), nil)
	must(t, err)
	if res, body := p.do(t, req, adminSecret); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "nome") {
		t.Errorf("HTTP %d: %s; want 400 that names the field", res.StatusCode, body)
	}
}

func TestCredentials_FromEitherHeader(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	for name, tc := range map[string]struct {
		header http.Header
		status int
	}{
		"bearer":            {http.Header{"Authorization": {"Bearer " + secret}}, 200},
		"lower case bearer": {http.Header{"Authorization": {"bearer  " + secret}}, 200},
		"x-api-key":         {http.Header{"X-Api-Key": {secret}}, 200},
		"both alike":        {http.Header{"Authorization": {"Bearer " + secret}, "X-Api-Key": {secret}}, 200},
		"both unlike":       {http.Header{"Authorization": {"Bearer " + secret}, "X-Api-Key": {adminSecret}}, 401},
		"two bearers":       {http.Header{"Authorization": {"Bearer " + secret, "Bearer " + adminSecret}}, 401},
		"basic":             {http.Header{"Authorization": {"Basic " + secret}}, 401},
		"no scheme":         {http.Header{"Authorization": {secret}}, 401},
		"empty bearer":      {http.Header{"Authorization": {"Bearer "}}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+listTeams, strings.NewReader("{}"))
			must(t, err)
			req.Header = tc.header
			req.Header.Set("Content-Type", "application/json")
			if res, body := p.do(t, req, ""); res.StatusCode != tc.status {
				t.Errorf("HTTP %d: %s; want %d", res.StatusCode, body, tc.status)
			}
		})
	}
}

func TestRevisionHeader_ShowsWhatWasJustWritten(t *testing.T) {
	p := newPlane(t)
	before := p.follower.Current().Revision()
	res, body := p.post(t, createTeam, "application/json", adminSecret, `{"teamId":"demo"}`)
	got, err := strconv.ParseInt(res.Header.Get("X-Signalbox-Revision"), 10, 64)
	if err != nil || got <= before || res.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d %s, revision %q; want one above %d", res.StatusCode, body, res.Header.Get("X-Signalbox-Revision"), before)
	}
}

// A write stands even when this replica does not come to serve it in time.
func TestWrite_DoesNotFailWhenTheSnapshotIsLate(t *testing.T) {
	p := newPlane(t, func(c *api.Config) { c.Syncer = never{} })
	began := time.Now()
	_, err := p.admin().CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "demo"})
	must(t, err)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the write waited %v for the snapshot", took)
	}
}

type never struct{}

func (never) Sync(ctx context.Context, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestPanic_IsLoggedAndNotShown(t *testing.T) {
	p := newPlane(t, func(c *api.Config) { c.Syncer = panics{} })
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithClientOptions(), "gRPC": connect.WithGRPC()} {
		t.Run(name, func(t *testing.T) {
			_, err := p.as(adminSecret, option).CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "t-" + strings.ToLower(name)})
			refused(t, err, connect.CodeInternal, "INTERNAL")
			if strings.Contains(err.Error(), "secret cause") {
				t.Errorf("the caller sees the cause: %v", err)
			}
		})
	}
	if log := p.log.String(); !strings.Contains(log, "secret cause") || !strings.Contains(log, "protocol_test.go") {
		t.Error("the log lacks cause or stack")
	}
}

// A panic outside of any handler, here in looking the snapshot up.
func TestPanic_BeforeTheHandlerIsAnsweredToo(t *testing.T) {
	var follower func() *snapshot.Snapshot
	broken := false
	p := newPlane(t, func(c *api.Config) {
		follower = c.Snapshot
		c.Snapshot = func() *snapshot.Snapshot {
			if broken {
				broken = false
				panic("secret cause")
			}
			return follower()
		}
	})
	broken = true
	res, body := p.post(t, listTeams, "application/json", adminSecret, "{}")
	if res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "internal") || strings.Contains(body, "secret cause") {
		t.Errorf("HTTP %d: %s", res.StatusCode, body)
	}
}

type panics struct{}

func (panics) Sync(context.Context, int64) error { panic("secret cause") }

func TestLog_HasOneLineForEachCallWithoutSecrets(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	must(t, func() error {
		_, err := p.as(secret).ListTeams(t.Context(), &identityv1.ListTeamsRequest{})
		return err
	}())
	p.post(t, createTeam, "application/json", secret, `{"teamId":"payload-payload"}`)
	p.post(t, createTeam, "application/json", secret, `{"teem":"payload-payload"}`)
	p.post(t, createTeam, "application/json", "", `{}`)
	p.post(t, createTeam, "text/plain", secret, `{}`)
	log := p.log.String()
	for _, line := range []string{
		"method=" + listTeams + " code=ok",
		"method=" + createTeam + " code=permission_denied",
		"method=" + createTeam + " code=invalid_argument",
		"principal=teams/demo/keys/laptop reason=MALFORMED_REQUEST",
		"code=unauthenticated",
		"principal=anonymous reason=CREDENTIALS_MISSING",
		"reason=CONTENT_TYPE_UNSUPPORTED",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the log has no %q:\n%s", line, log)
		}
	}
	if n := strings.Count(log, "management call"); n != 7 {
		t.Errorf("%d lines for 7 calls:\n%s", n, log)
	}
	for _, never := range []string{secret, adminSecret, "payload-payload"} {
		if strings.Contains(log, never) {
			t.Errorf("the log holds %q", never)
		}
	}
}

func TestDatabaseAway_IsSaidInTime(t *testing.T) {
	p := newPlane(t, func(c *api.Config) { c.Timeout = 300 * time.Millisecond })
	_, secret := p.team(t, "demo")
	get := func(ctx context.Context) error {
		_, err := p.as(secret).GetTeam(ctx, &identityv1.GetTeamRequest{Name: "teams/demo"})
		return err
	}
	blocker, err := p.pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = blocker.Rollback(context.Background()) }()
	_, err = blocker.Exec(t.Context(), `LOCK TABLE teams IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
	refused(t, get(t.Context()), connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := get(short); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("past the caller's own deadline: %v", err)
	}
	must(t, blocker.Rollback(t.Context()))
	must(t, get(t.Context()))
}

func TestHealth_IsOpenAndTellsOfDraining(t *testing.T) {
	p := newPlane(t)
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	client := healthpb.NewHealthClient(conn)
	check := func(service string) (healthpb.HealthCheckResponse_ServingStatus, error) {
		res, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		return res.GetStatus(), err
	}
	for _, service := range []string{"", "signalbox.registry.v1.RegistryService", "signalbox.audit.v1.AuditService"} {
		if got, err := check(service); err != nil || got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, got, err)
		}
	}
	if _, err := check("none"); status.Code(err) != codes.NotFound {
		t.Errorf("health of an unknown service: %v", err)
	}
	p.drain()
	if got, err := check(""); err != nil || got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health when draining: %v, %v", got, err)
	}
}

func TestReflection_NeedsACredentialAndListsTheServices(t *testing.T) {
	p := newPlane(t)
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	ask := func(ctx context.Context) (*reflectionpb.ServerReflectionResponse, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return nil, err
		}
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
		}); err != nil && !errors.Is(err, io.EOF) { // of a stream that was refused, Recv tells why
			return nil, err
		}
		return stream.Recv()
	}
	if _, err := ask(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without a credential: %v", err)
	}
	res, err := ask(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminSecret))
	must(t, err)
	var names bytes.Buffer
	for _, s := range res.GetListServicesResponse().GetService() {
		names.WriteString(s.GetName() + " ")
	}
	for _, want := range []string{"RegistryService", "IdentityService", "AuditService", "TaskService"} {
		if !strings.Contains(names.String(), want) {
			t.Errorf("reflection lists %s, want %s among them", names.String(), want)
		}
	}
}

func TestHandles_TheManagementPlaneAlone(t *testing.T) {
	for path, want := range map[string]bool{
		createTeam: true, "/grpc.health.v1.Health/Check": true, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
		"/a2a/echo": false, "/": false, "/healthz": false, "/lf.a2a.v1.A2AService/SendMessage": false,
	} {
		if got := api.Handles(path); got != want {
			t.Errorf("Handles(%q) = %t, want %t", path, got, want)
		}
	}
}

func TestNew_NamesEveryFaultOfItsConfig(t *testing.T) {
	_, err := api.New(api.Config{})
	for _, field := range []string{"Identity", "Registry", "Tasks", "Events", "Recorder", "Snapshot", "Syncer", "PageTokenKey"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("New of nothing: %v; want %s named", err, field)
		}
	}
}

func TestStaleConfiguration_RefusesCalls(t *testing.T) {
	stale := false
	p := newPlane(t, func(c *api.Config) { c.Stale = func() bool { return stale } })
	list := func() error {
		_, err := p.admin().ListTeams(t.Context(), &identityv1.ListTeamsRequest{})
		return err
	}
	must(t, list())
	stale = true
	refused(t, list(), connect.CodeUnavailable, "CONFIGURATION_STALE")
}

func TestTelemetry_ContinuesTheCallersTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	p := newPlane(t, func(c *api.Config) { c.TracerProvider, c.Propagator = provider, propagation.TraceContext{} })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+listTeams, strings.NewReader("{}"))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	p.do(t, req, adminSecret)
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" ||
		ended[0].Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("spans %v, want one that continues the caller's", ended)
	}
}
