package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestEvents_OfManagementShowWhatWasChangedByWhom(t *testing.T) {
	g := startGateway(t)
	g.runAs(t, g.admin, "", "teams", "update", "demo", "--display-name", "Renamed").ok(t)
	g.runAs(t, g.demo.Key(), "", "teams", "update", "demo", "--display-name", "Mine")
	var name string
	deadline := time.Now().Add(30 * time.Second)
	for name == "" {
		var list struct {
			Events []struct{ Name, Method, Caller, Outcome, Resource string }
		}
		out := g.runAs(t, g.admin, "", "events", "list", "--management", "--method", "UpdateTeam", "--resource", "teams/demo", "-o", "json").ok(t).out
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Events {
			if e.Resource != "teams/demo" || !strings.HasSuffix(e.Method, "/UpdateTeam") {
				t.Errorf("the list has %+v", e)
			}
			if e.Caller == "admin" {
				name = e.Name
			}
		}
		if len(list.Events) < 2 {
			name = "" // the refused one is not there yet
		}
		if time.Now().After(deadline) {
			t.Fatalf("the events did not come: %s", out)
		}
	}
	shown := g.runAs(t, g.admin, "", "events", "get", name).ok(t).out
	for _, want := range []string{"~ displayName", `→ "Renamed"`, "resource  teams/demo", "permitted by admin"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in:\n%s", want, shown)
		}
	}
	if got := g.runAs(t, g.admin, "", "events", "get", name, "-o", "json").ok(t).out; !strings.Contains(got, `"after": {`) {
		t.Errorf("JSON without the resource:\n%s", got)
	}
	if got := g.runAs(t, g.demo.Key(), "", "events", "list", "--management", "--outcome", "refused").ok(t).out; !strings.Contains(got, "PERMISSION_DENIED") {
		t.Errorf("a team does not see its own refused call:\n%s", got)
	}
	if got := g.runAs(t, g.demo.Key(), "", "events", "get", name); !strings.Contains(got.err, "EVENT_NOT_FOUND") {
		t.Errorf("a team sees the admin's call:\n%s%s", got.out, got.err)
	}
	if got := g.runAs(t, g.admin, "", "events", "list").ok(t).out; strings.Contains(got, "UpdateTeam") {
		t.Errorf("management calls are among those of agents:\n%s", got)
	}
}
