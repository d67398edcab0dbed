package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
)

// managed is a call that an admin may make.
type managed struct {
	method string // "{package}.{Service}/{Method}"
	body   string // JSON
	// resource is what the event names, before and after whether it has that, and empty
	// documents mean that the call changes nothing.
	resource      string
	before, after bool
	unchanged     bool // makes no revision
	nameless      bool // its documents are no resource
}

// managedCalls are calls of every method there is, in an order in which each succeeds.
func managedCalls(event string) []managed {
	const (
		identity = "signalbox.identity.v1.IdentityService/"
		registry = "signalbox.registry.v1.RegistryService/"
		tasks    = "signalbox.task.v1.TaskService/"
		events   = "signalbox.audit.v1.AuditService/"
		policies = "signalbox.policy.v1.PolicyService/"
		text     = `permit (principal, action, resource == Signalbox::Agent::"echo");`
	)
	card := `{"name":"Echo","description":"d","supportedInterfaces":[{"url":"http://127.0.0.1:9/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`
	return []managed{
		{method: identity + "CreateTeam", body: `{"teamId":"x"}`, resource: "teams/x", after: true},
		{method: identity + "UpdateTeam", body: `{"team":{"name":"teams/x","displayName":"X"}}`, resource: "teams/x", before: true, after: true},
		{method: identity + "UpdateTeam", body: `{"team":{"name":"teams/x","displayName":"X"}}`, resource: "teams/x", before: true, after: true, unchanged: true},
		{method: identity + "GetTeam", body: `{"name":"teams/x"}`, resource: "teams/x"},
		{method: identity + "ListTeams", body: `{}`},
		{method: identity + "CreateKey", body: `{"parent":"teams/x","keyId":"k"}`, resource: "teams/x/keys/k", after: true},
		{method: identity + "GetKey", body: `{"name":"teams/x/keys/k"}`, resource: "teams/x/keys/k"},
		{method: identity + "ListKeys", body: `{"parent":"teams/x"}`, resource: "teams/x"},
		{method: identity + "UpdateKey", body: `{"key":{"name":"teams/x/keys/k","displayName":"K"}}`, resource: "teams/x/keys/k", before: true, after: true},
		{method: identity + "RotateKey", body: `{"name":"teams/x/keys/k"}`, resource: "teams/x/keys/k", before: true, after: true},
		{
			method: registry + "CreateAgent", resource: "agents/echo", after: true,
			body: fmt.Sprintf(`{"agentId":"echo","agent":{"team":"teams/x","endpoints":[{"url":"http://127.0.0.1:9"}],"card":%s}}`, card),
		},
		{method: registry + "ImportAgent", body: fmt.Sprintf(`{"team":"teams/x","card":%s}`, strings.Replace(card, "Echo", "Other", 1)), resource: "agents/other", after: true},
		{method: registry + "GetAgent", body: `{"name":"agents/echo"}`, resource: "agents/echo"},
		{method: registry + "ListAgents", body: `{}`},
		{method: registry + "UpdateAgent", body: `{"agent":{"name":"agents/echo","displayName":"E"}}`, resource: "agents/echo", before: true, after: true},
		{method: registry + "SuspendAgent", body: `{"name":"agents/echo"}`, resource: "agents/echo", before: true, after: true},
		{method: registry + "SuspendAgent", body: `{"name":"agents/echo"}`, resource: "agents/echo", before: true, after: true, unchanged: true},
		{method: registry + "ResumeAgent", body: `{"name":"agents/echo"}`, resource: "agents/echo", before: true, after: true},
		{method: tasks + "AdoptTasks", body: `{"agent":"agents/echo","owner":"teams/x/keys/k","entries":[{"taskId":"t"}]}`, resource: "agents/echo", after: true, unchanged: true, nameless: true},
		{method: tasks + "GetOwner", body: `{"agent":"agents/echo","taskId":"t"}`, resource: "agents/echo"},
		{method: events + "ListEvents", body: `{}`},
		{method: events + "GetEvent", body: fmt.Sprintf(`{"name":%q}`, event), resource: event},
		{method: events + "TailEvents"},
		{
			method: identity + "CreateIssuer", resource: "issuers/idp", after: true,
			body: `{"issuerId":"idp","issuer":{"url":"https://idp.example.com","audiences":["signalbox"]}}`,
		},
		{method: identity + "GetIssuer", body: `{"name":"issuers/idp"}`, resource: "issuers/idp"},
		{method: identity + "ListIssuers", body: `{}`},
		{method: identity + "UpdateIssuer", body: `{"issuer":{"name":"issuers/idp","displayName":"I"}}`, resource: "issuers/idp", before: true, after: true},
		{method: identity + "CreateUser", body: `{"user":{"issuer":"issuers/idp","subject":"ada"}}`, resource: "users/idp~ada", after: true},
		{method: identity + "GetUser", body: `{"name":"users/idp~ada"}`, resource: "users/idp~ada"},
		{method: identity + "ListUsers", body: `{}`},
		{method: identity + "UpdateUser", body: `{"user":{"name":"users/idp~ada","displayName":"Ada"}}`, resource: "users/idp~ada", before: true, after: true},
		{method: identity + "AddRoleMember", body: `{"role":"teams/x/roles/publisher","member":"users/idp~ada"}`, resource: "users/idp~ada", before: true, after: true},
		{method: identity + "AddRoleMember", body: `{"role":"teams/x/roles/publisher","member":"users/idp~ada"}`, resource: "users/idp~ada", before: true, after: true, unchanged: true},
		{method: identity + "ListRoleMembers", body: `{"parent":"teams/x/roles/publisher"}`, resource: "teams/x/roles/publisher"},
		{method: identity + "RemoveRoleMember", body: `{"role":"teams/x/roles/publisher","member":"users/idp~ada"}`, resource: "users/idp~ada", before: true, after: true},
		{method: identity + "DisableUser", body: `{"name":"users/idp~ada"}`, resource: "users/idp~ada", before: true, after: true},
		{method: identity + "DeleteUser", body: `{"name":"users/idp~ada"}`, resource: "users/idp~ada", before: true},
		{method: identity + "DeleteIssuer", body: `{"name":"issuers/idp"}`, resource: "issuers/idp", before: true},
		{method: policies + "ApplyPolicy", body: fmt.Sprintf(`{"policyId":"x","text":%q}`, text), resource: "policies/x", after: true},
		{method: policies + "ApplyPolicy", body: fmt.Sprintf(`{"policyId":"x","text":%q}`, text), resource: "policies/x", before: true, after: true, unchanged: true},
		{method: policies + "GetPolicy", body: `{"name":"policies/x"}`, resource: "policies/x"},
		{method: policies + "ListPolicies", body: `{}`},
		{method: policies + "UpdatePolicy", body: `{"policy":{"name":"policies/x","mode":"MODE_DISABLED"}}`, resource: "policies/x", before: true, after: true},
		{method: policies + "UpdatePolicy", body: `{"policy":{"name":"policies/own-team","mode":"MODE_ENFORCE"}}`, resource: "policies/own-team", before: true, after: true, unchanged: true},
		{method: policies + "RollbackPolicy", body: `{"name":"policies/x","version":"1"}`, resource: "policies/x", before: true, after: true},
		{method: policies + "ListPolicyVersions", body: `{"parent":"policies/x"}`, resource: "policies/x"},
		{method: policies + "GetSchema", body: `{}`},
		{method: policies + "CreateGrant", body: `{"grantId":"g-x","grant":{"principal":"key:teams/x/keys/k","agents":"agent:echo","actions":["invoke"]}}`, resource: "grants/g-x", after: true},
		{method: policies + "GetGrant", body: `{"name":"grants/g-x"}`, resource: "grants/g-x"},
		{method: policies + "ListGrants", body: `{}`},
		{method: policies + "UpdateGrant", body: `{"grant":{"name":"grants/g-x","disabled":true}}`, resource: "grants/g-x", before: true, after: true},
		{method: policies + "DeleteGrant", body: `{"name":"grants/g-x"}`, resource: "grants/g-x", before: true},
		{method: policies + "CheckPolicy", body: `{"principal":"key:teams/x/keys/k","action":"invoke","resource":"agent:echo"}`},
		{method: policies + "GetDecision", body: fmt.Sprintf(`{"name":%q}`, strings.Replace(event, "events/", "decisions/", 1)), resource: strings.Replace(event, "events/", "decisions/", 1)},
		{method: policies + "ReplayPolicy"},
		{method: policies + "GetReplay", body: `{"name":"` + keptReplay + `"}`, resource: keptReplay},
		{method: policies + "DeletePolicy", body: `{"name":"policies/x"}`, resource: "policies/x", before: true},
		{method: identity + "DisableKey", body: `{"name":"teams/x/keys/k"}`, resource: "teams/x/keys/k", before: true, after: true},
		{method: registry + "DeleteAgent", body: `{"name":"agents/other"}`, resource: "agents/other", before: true},
		{method: registry + "DeleteAgent", body: `{"name":"agents/echo"}`, resource: "agents/echo", before: true},
		{method: identity + "DeleteTeam", body: `{"name":"teams/x"}`, resource: "teams/x", before: true},
	}
}

// keptReplay is a replay that the calls find.
const keptReplay = "replays/00000000-0000-4000-8000-000000000001"

// methods are all methods that the gateway's own schemas have.
func methods() []string {
	var all []string
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "signalbox.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	slices.Sort(all)
	return all
}

// make makes the call; a tail is left when it has begun.
func (c managed) make(t *testing.T, p *plane, secret string) {
	t.Helper()
	switch {
	case strings.HasSuffix(c.method, "/ReplayPolicy"):
		stream, err := p.as(secret).ReplayPolicy(t.Context(), &policyv1.ReplayPolicyRequest{})
		must(t, err)
		for stream.Receive() {
		}
		_ = stream.Close()
		return
	case strings.HasSuffix(c.method, "/GetReplay"):
		// An error says that it is there already.
		_ = p.store.CreateReplay(t.Context(), admin.Replay{UID: uuid.MustParse(strings.TrimPrefix(keptReplay, "replays/")), CreateTime: time.Now()})
	}
	if !strings.HasSuffix(c.method, "/TailEvents") {
		p.post(t, "/"+c.method, "application/json", secret, c.body)
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := p.as(secret).TailEvents(ctx, &auditv1.TailEventsRequest{})
	must(t, err)
	if secret == adminSecret {
		eventually(t, "the tail to be open", func() bool { _, open := p.record.events(t); return open == 1 })
		if events, _ := p.record.events(t); len(events) != 0 {
			t.Errorf("a tail has an event before its end: %+v", events)
		}
	} else {
		stream.Receive()
	}
	cancel()
	_ = stream.Close()
}

func TestRecord_EveryMethodThereIsLeavesOneEvent(t *testing.T) {
	p, l := newAuditPlane(t)
	event := l.add(t, "t", "echo")
	called := map[string]bool{}
	for _, c := range managedCalls(event) {
		called[c.method] = true
		tail, stream := strings.HasSuffix(c.method, "/TailEvents"), strings.HasSuffix(c.method, "/ReplayPolicy")
		p.record.forget()
		c.make(t, p, adminSecret)
		e := p.record.one(t)
		switch {
		case tail && (e.Outcome != audit.CallerLeft || !e.CallerLeft):
			t.Errorf("%s: outcome %s, %+v, want that of a caller who left", c.method, e.Outcome, e.Error)
		case !tail && (e.Outcome != audit.Succeeded || e.Error != nil || e.HTTPStatus != http.StatusOK || !stream && e.RequestBytes != int64(len(c.body))):
			t.Errorf("%s: outcome %s, %+v, HTTP %d, %d bytes", c.method, e.Outcome, e.Error, e.HTTPStatus, e.RequestBytes)
		}
		if e.Plane != audit.PlaneManagement || e.Method != c.method || e.Caller != "admin" || e.Team != "" || e.SourceAddress != "127.0.0.1" ||
			!strings.HasPrefix(e.UserAgent, "Go-http") && !tail && !stream || e.Dialect != "CONNECT" || e.Duration <= 0 || e.Count != 1 || e.Agent != "" {
			t.Errorf("%s: event %+v", c.method, e)
		}
		if d := e.Decision; d == nil || !d.Permitted || len(d.Rules) == 0 || d.Principal != "key:admin" || d.Action == "" || d.Resource == "" ||
			d.Revision == 0 && p.follower.Current().Revision() > 1 || d.Method != c.method[strings.LastIndexByte(c.method, '/')+1:] || d.SourceAddress != "127.0.0.1" {
			t.Errorf("%s: decision %+v", c.method, e.Decision)
		}
		if e.Resource != c.resource || (e.Before != nil) != c.before || (e.After != nil) != c.after {
			t.Errorf("%s: resource %q before %s after %s", c.method, e.Resource, e.Before, e.After)
		}
		writes := (c.before || c.after) && !c.unchanged
		if revision := p.follower.Current().Revision(); writes != (e.Revision == revision) || !writes && e.Revision != 0 {
			t.Errorf("%s: revision %d at revision %d", c.method, e.Revision, revision)
		}
		for _, document := range [][]byte{e.Before, e.After} {
			if document != nil && !c.nameless && !strings.Contains(string(document), fmt.Sprintf(`"name":%q`, c.resource)) {
				t.Errorf("%s: the document is not of %s: %s", c.method, c.resource, document)
			}
		}
	}
	for _, method := range methods() {
		if !called[method] {
			t.Errorf("there is no call of %s in this test; add one to managedCalls", method)
		}
	}
}

func TestRecord_EveryRefusalLeavesOneEventThatChangedNothing(t *testing.T) {
	p, l := newAuditPlane(t)
	event := l.add(t, "t", "echo")
	_, outsider := p.team(t, "outsider")
	p.team(t, "x")
	_, err := p.admin().CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/x", KeyId: "k"})
	must(t, err)
	p.agent(t, "x", "echo")
	p.agent(t, "x", "other")
	p.issuer(t, "idp")
	p.user(t, "idp", "ada")
	done := map[string]bool{}
	for i, c := range managedCalls(event) {
		if done[c.method] {
			continue
		}
		done[c.method] = true
		tail := strings.HasSuffix(c.method, "/TailEvents") || strings.HasSuffix(c.method, "/ReplayPolicy")

		// Without a credential, from an address of its own in the record.
		p.clock.step(1e10)
		p.record.forget()
		c.make(t, p, "")
		e := p.record.one(t)
		if e.Outcome != audit.Refused || e.Error == nil || e.Error.Code != 16 || e.Error.Reason != "CREDENTIALS_MISSING" || e.Caller != "" ||
			e.Method != c.method || e.Decision != nil || e.Plane != audit.PlaneManagement {
			t.Errorf("%s without a credential: %+v, %+v", c.method, e, e.Error)
		}
		if !tail {
			p.record.forget()
			p.post(t, "/"+c.method, "application/json", adminSecret, `{"`)
			if e = p.record.one(t); e.Outcome != audit.Refused || e.Error.Reason != "MALFORMED_REQUEST" || e.Caller != "admin" || e.HTTPStatus != 400 {
				t.Errorf("%s with half a body: %+v, %+v", c.method, e, e.Error)
			}
		}
		// What is nobody else's business, or not allowed.
		if strings.Contains(c.method, "/List") || tail {
			continue
		}
		p.record.forget()
		c.make(t, p, outsider)
		e = p.record.one(t)
		if e.Outcome != audit.Refused || e.Error == nil || e.Caller != "teams/outsider/keys/laptop" || e.Team != "outsider" ||
			!slices.Contains([]int{5, 7}, e.Error.Code) || e.Error.Message == "" {
			t.Errorf("%d %s of an outsider: %s, %+v", i, c.method, e.Outcome, e.Error)
		}
		if e.Before != nil || e.After != nil || e.Revision != 0 {
			t.Errorf("%s of an outsider: before %s after %s revision %d", c.method, e.Before, e.After, e.Revision)
		}
		if c.after && e.Decision == nil {
			t.Errorf("%s of an outsider: there is no decision in the event", c.method)
		}
		// Who may read events is not told which there are.
		if d := e.Decision; d != nil && d.Permitted && !strings.HasSuffix(c.method, "/GetEvent") && !strings.HasSuffix(c.method, "/GetDecision") {
			t.Errorf("%s of an outsider: decision %+v", c.method, d)
		}
		if c.resource != "" && e.Resource != c.resource && !strings.HasSuffix(c.method, "ImportAgent") && !strings.HasSuffix(c.method, "CreateUser") {
			t.Errorf("%s of an outsider is about %q, want %q", c.method, e.Resource, c.resource)
		}
	}
}

func TestRecord_HealthAndReflectionAreNoCalls(t *testing.T) {
	p := newPlane(t)
	for _, path := range []string{
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/None", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
		p.post(t, path, "application/json", adminSecret, "{}")
	}
	if events, open := p.record.events(t); len(events) != 0 || open != 0 {
		t.Errorf("events %+v", events)
	}
	for _, path := range []string{"/signalbox.registry.v1.RegistryService/Steal", "/signalbox.none.v1.None/None", "/signalbox.x"} {
		p.record.forget()
		p.post(t, path, "application/json", adminSecret, "{}")
		if e := p.record.one(t); e.Outcome != audit.Refused || e.Error.Reason != "NOT_FOUND" || e.Method != path[1:] || e.HTTPStatus != 404 {
			t.Errorf("%s: event %+v, %+v", path, e, e.Error)
		}
	}
}
