package dataplane_test

import (
	"net/http"
	"strings"
	"testing"

	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// The path of a call of gRPC names no agent: its tenant, metadata and authority do.
func TestSelectAgent_ByTenantMetadataAndAuthority(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.A2A.GRPCAuthoritySuffix = ".agents.example" })
	key := g.Team("demo")
	client := h2c(t)
	agents := map[string]*native{"one": startNative(t, grpc10), "two": startNative(t, grpc10), "old": startNative(t, grpc03)}
	for name, agent := range agents {
		agent.register(g, name, "")
	}
	tests := []struct {
		name              string
		version           a2a.Version
		tenant, metadata  string
		authority         string
		want, wantFailure string // the agent that is called, or what the refusal says
	}{
		{"tenant", a2a.V10, "one", "", "", "one", ""},
		{"metadata", a2a.V10, "", "two", "", "two", ""},
		{"authority", a2a.V10, "", "", "one.agents.example", "one", ""},
		{"authority with a port", a2a.V10, "", "", "one.agents.example:443", "one", ""},
		{"authority in capitals", a2a.V10, "", "", "ONE.Agents.Example", "one", ""},
		{"all of one mind", a2a.V10, "two", "two", "two.agents.example", "two", ""},
		{"an authority that names none", a2a.V10, "two", "", "gateway.example", "two", ""},
		{"an authority below an agent's", a2a.V10, "two", "", "x.one.agents.example", "two", ""},
		{"metadata in 0.3", a2a.V03, "", "old", "", "old", ""},
		{"authority in 0.3", a2a.V03, "", "", "old.agents.example", "old", ""},
		{"both in 0.3", a2a.V03, "", "old", "old.agents.example", "old", ""},
		{"another version's agent", a2a.V03, "", "one", "", "one", ""},
		{"tenant against metadata", a2a.V10, "one", "two", "", "", `tenant names agent "one" and metadata x-signalbox-agent names "two"`},
		{"tenant against authority", a2a.V10, "one", "", "two.agents.example", "", `tenant names agent "one" and authority names "two"`},
		{"metadata against authority", a2a.V10, "", "one", "two.agents.example", "", `metadata x-signalbox-agent names agent "one" and authority names "two"`},
		{"two against one", a2a.V10, "one", "one", "two.agents.example", "", `"two"`},
		{"none", a2a.V10, "", "", "", "", "give its name as tenant"},
		{"none in 0.3", a2a.V03, "", "", "", "", "x-signalbox-agent"},
		{"an empty label", a2a.V10, "", "", ".agents.example", "", "give its name as tenant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := map[string]int{}
			for name, agent := range agents {
				before[name] = len(agent.Calls())
			}
			var message proto.Message = send10(tt.tenant, "")
			d := a2a.Dialect{Binding: a2a.GRPC, Version: tt.version}
			if tt.version == a2a.V03 {
				message = send03("")
			}
			headers := grpcHeaders()
			if tt.metadata != "" {
				headers = append(headers, "X-Signalbox-Agent", tt.metadata)
			}
			if tt.authority != "" {
				headers = append(headers, ":authority", tt.authority)
			}
			got := do(t, client, http.MethodPost, g.URL+grpcPath(tt.version, "SendMessage"), key, grpcFrame(marshal(t, message)), headers...)
			if tt.wantFailure != "" {
				refused{code: -32602, reason: "INVALID_PARAMS", text: tt.wantFailure}.check(t, d, got)
			} else if got.Status != 200 || got.trailer.Get("Grpc-Status") != "0" {
				t.Errorf("HTTP %d, %v, %v", got.Status, got.Header, got.trailer)
			}
			for name, agent := range agents {
				want := before[name]
				if name == tt.want {
					want++
				}
				if n := len(agent.Calls()); n != want {
					t.Errorf("agent %s got %d calls, want %d", name, n-before[name], want-before[name])
				}
			}
		})
	}
}

// Without the setting an authority is the gateway's own and says nothing.
func TestSelectAgent_AuthoritiesNameNobodyWithoutTheSetting(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	startNative(t, grpc10).register(g, "one", "")
	got := do(t, client, http.MethodPost, g.URL+grpcPath(a2a.V10, "SendMessage"), key, grpcFrame(marshal(t, send10("", ""))),
		grpcHeaders(":authority", "one.agents.example")...)
	refused{code: -32602, reason: "INVALID_PARAMS", text: "tenant"}.check(t, grpc10, got)
	got = do(t, client, http.MethodPost, g.URL+grpcPath(a2a.V10, "SendMessage"), key, grpcFrame(marshal(t, send10("one", ""))),
		grpcHeaders(":authority", "two.agents.example")...)
	if got.trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%v, %v", got.Header, got.trailer)
	}
}

// An agent that the caller may not see is told apart from one that does not exist in
// nothing, whichever way it was named.
func TestSelectAgent_WhatMayNotBeSeenLooksLikeWhatDoesNotExist(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.A2A.GRPCAuthoritySuffix = ".agents.example" })
	g.Team("demo")
	key := g.Team("other")
	client := h2c(t)
	for name, d := range map[string]a2a.Dialect{"secret": grpc10, "secret-old": grpc03} {
		startNative(t, d).register(g, name, "", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })
	}
	call := func(tenant string, body []byte, headers ...string) reply {
		if body == nil {
			body = grpcFrame(marshal(t, send10(tenant, "")))
		}
		return do(t, client, http.MethodPost, g.URL+grpcPath(a2a.V10, "SendMessage"), key, body, grpcHeaders(headers...)...)
	}
	old := grpcFrame(marshal(t, send03("")))
	for how, one := range map[string]func(agent string) reply{
		"tenant":    func(agent string) reply { return call(agent, nil) },
		"metadata":  func(agent string) reply { return call("", nil, "X-Signalbox-Agent", agent) },
		"authority": func(agent string) reply { return call("", nil, ":authority", agent+".agents.example") },
		"a call that cannot be read": func(agent string) reply {
			return call("", grpcFrame([]byte{0xff}), "X-Signalbox-Agent", agent)
		},
		"metadata in 0.3": func(agent string) reply {
			return do(t, client, http.MethodPost, g.URL+grpcPath(a2a.V03, "SendMessage"), key, old, grpcHeaders("X-Signalbox-Agent", agent)...)
		},
	} {
		invisible := "secret"
		if strings.HasSuffix(how, "0.3") {
			invisible = "secret-old"
		}
		nobody, hidden := one("nobody"), one(invisible)
		for _, r := range []reply{nobody, hidden} {
			r.Header.Del("Date")
		}
		if diff := cmp.Diff(nobody.Header, hidden.Header); diff != "" || nobody.Status != hidden.Status || string(nobody.Body) != string(hidden.Body) {
			t.Errorf("by %s they differ (-nobody +hidden):\n%s", how, diff)
		}
		if f := readFailure(t, grpc10, nobody); how != "a call that cannot be read" && (f.GRPC != a2a.GRPCNotFound || f.Reason != "AGENT_NOT_FOUND") {
			t.Errorf("by %s: %+v", how, f)
		}
	}
}

// The tenant that reaches an agent is that of its own card, whatever the caller had for
// one: to the caller it was the agent's name.
func TestSelectAgent_TheAgentGetsTheTenantOfItsCard(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	for _, tenant := range []string{"", "acme"} {
		for _, to := range []a2a.Dialect{grpc10, rest10, rpc10} {
			agent := startNative(t, to)
			name := "t" + tenant + map[a2a.Binding]string{a2a.GRPC: "-grpc", a2a.REST: "-rest", a2a.JSONRPC: "-rpc"}[to.Binding]
			agent.register(g, name, tenant)
			for _, from := range []a2a.Dialect{grpc10, rest10, rpc10, grpc03, rpc03} {
				got := sendIn(t, client, g, from, name, key)
				if got.Status != 200 || got.trailer.Get("Grpc-Status") != "" && got.trailer.Get("Grpc-Status") != "0" {
					t.Fatalf("%s to %s: HTTP %d, %v, %v, %s", from, to, got.Status, got.Header, got.trailer, got.Body)
				}
				last := agent.Last(t)
				switch to {
				case grpc10:
					var m pb.SendMessageRequest
					if err := proto.Unmarshal(last.Body[5:], &m); err != nil || m.GetTenant() != tenant {
						t.Errorf("%s to %s: tenant %q, want %q (%v)", from, to, m.GetTenant(), tenant, err)
					}
				case rest10:
					want := "/message:send"
					if tenant != "" {
						want = "/" + tenant + want
					}
					if last.Path != want || tenant == "" && strings.Contains(string(last.Body), "tenant") {
						t.Errorf("%s to %s: path %s, want %s; body %s", from, to, last.Path, want, last.Body)
					}
				default:
					if has := strings.Contains(string(last.Body), `"tenant":"`+tenant+`"`); has != (tenant != "") || strings.Contains(string(last.Body), `"tenant":"`+name) {
						t.Errorf("%s to %s: body %s, want tenant %q", from, to, last.Body, tenant)
					}
				}
			}
		}
	}
}
