package gatewaytest_test

import (
	"strings"
	"testing"
	"time"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// callable tells whether a gateway routes calls to the agent "echo".
func callable(t *testing.T, g *gatewaytest.Gateway, key string) bool {
	t.Helper()
	reply := g.Call("echo", key, "GetTask", `{"id":"none"}`)
	switch code := reply.Error(t).Code; code {
	case -32001: // no such task
		return true
	case -31404: // no such agent
		return false
	default:
		t.Fatalf("GetTask was answered with %s", reply.Body)
		return false
	}
}

func TestRollout_SuspensionIsConfirmedByReplicasThatRefuseCalls(t *testing.T) {
	g := gatewaytest.StartOver(t, pgtest.ConnString(t), t.TempDir())
	other := gatewaytest.StartChild(t, g.DSN, t.TempDir())
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	suspend := func() *rolloutv1.Rollout {
		t.Helper()
		a, err := g.Registry.SuspendAgent(t.Context(), &registryv1.SuspendAgentRequest{Name: "agents/echo", Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return a.GetRollout()
	}
	resume := func() *rolloutv1.Rollout {
		t.Helper()
		a, err := g.Registry.ResumeAgent(t.Context(), &registryv1.ResumeAgentRequest{Name: "agents/echo"})
		if err != nil {
			t.Fatal(err)
		}
		return a.GetRollout()
	}
	check := func(what string, got *rolloutv1.Rollout, confirmed, unconfirmed int32) {
		t.Helper()
		if got.GetConfirmedCount() != confirmed || got.GetUnconfirmedCount() != unconfirmed || len(got.GetUnconfirmedReplicas()) != int(unconfirmed) {
			t.Errorf("%s: %v; want %d confirmed, %d not", what, got, confirmed, unconfirmed)
		}
	}

	for range 5 {
		begin := time.Now()
		check("suspended", suspend(), 2, 0)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("two replicas took %v to confirm", took)
		}
		if callable(t, g, key) || callable(t, other.Gateway, key) {
			t.Fatal("a replica that has confirmed the suspension serves the agent")
		}
		check("resumed", resume(), 2, 0)
		if !callable(t, g, key) || !callable(t, other.Gateway, key) {
			t.Fatal("a replica that has confirmed the resumption refuses the agent")
		}
	}

	other.Freeze()
	frozen := suspend()
	check("with a frozen replica", frozen, 1, 1)
	if behind := frozen.GetUnconfirmedReplicas()[0]; behind.GetServedRevision() >= frozen.GetRevision() || len(behind.GetUid()) != 36 ||
		time.Since(behind.GetLastSeenTime().AsTime()) > 15*time.Second {
		t.Errorf("the frozen replica is listed as %v", behind)
	}
	other.Thaw()
	eventually(t, 10*time.Second, func() string {
		if r := suspend(); r.GetUnconfirmedCount() != 0 {
			return r.String()
		}
		return ""
	})
	if callable(t, other.Gateway, key) {
		t.Error("the thawed replica serves a suspended agent")
	}

	third := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	check("with a third replica", resume(), 3, 0)
	third.Stop()
	check("after a regular stop", suspend(), 2, 0)
	other.Kill()
	killed := resume()
	check("after a crash", killed, 1, 1)
	if uid := frozen.GetUnconfirmedReplicas()[0].GetUid(); !strings.Contains(killed.String(), uid) {
		t.Errorf("after a crash %v is listed, want %s", killed, uid)
	}
}
