package dataplane_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// series is one line of the metrics.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

func (s series) String() string { return fmt.Sprintf("%s%v", s.name, s.labels) }

// scrape reads the gateway's own metrics.
func scrape(t *testing.T, g *gatewaytest.Gateway) []series {
	t.Helper()
	got := g.Do(http.MethodGet, "/metrics", "", "")
	if got.Status != http.StatusOK || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("GET /metrics: HTTP %d, %s", got.Status, got.Header.Get("Content-Type"))
	}
	line := regexp.MustCompile(`^(signalbox_[a-z_]+)(?:\{(.*)\})? (\S+)$`)
	label := regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	var all []series
	for lines := bufio.NewScanner(strings.NewReader(string(got.Body))); lines.Scan(); {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue // of Go, of the process, or a comment
		}
		s := series{name: m[1], labels: map[string]string{}}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			s.labels[l[1]] = l[2]
		}
		var err error
		if s.value, err = strconv.ParseFloat(m[3], 64); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, s)
	}
	return all
}

// count returns the value of one series, 0 when it is not there.
func count(all []series, name string, labels map[string]string) float64 {
	for _, s := range all {
		if s.name == name && cmp.Equal(s.labels, labels) {
			return s.value
		}
	}
	return 0
}

func TestMetrics_CountCallsByBoundedLabelsOnly(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("team-of-the-test")
	g.Agent("agent-of-the-test", "team-of-the-test", peers.StartHostile(t, peers.HostileConfig{}).URL)
	const agent = "agent-of-the-test"
	send := func(id string) { g.Call(agent, key, "SendMessage", gatewaytest.Message(id, "hi", "")) }
	ok := map[string]string{"method": "SendMessage", "dialect": "JSONRPC/1.0", "outcome": "SUCCEEDED", "reason": ""}
	missing := map[string]string{"method": "GetTask", "dialect": "JSONRPC/1.0", "outcome": "REFUSED", "reason": "TASK_NOT_FOUND"}
	if n := count(scrape(t, g), "signalbox_calls_total", ok); n != 0 {
		t.Fatalf("%v calls before the first", n)
	}
	for i := range 3 {
		send(peers.HostilePrefix + string(peers.Proper) + strconv.Itoa(i))
	}
	g.Call(agent, key, "GetTask", `{"id":"no-such-task"}`)
	resp := stream(g, key, peers.Proper) // to an agent that is not there
	_ = resp.Body.Close()
	// A call is counted after its last byte, so the caller may be a moment ahead.
	eventually(t, func() bool { return count(scrape(t, g), "signalbox_calls_total", missing) == 1 })
	eventually(t, func() bool { return count(scrape(t, g), "signalbox_calls_total", ok) == 3 })
	all := scrape(t, g)
	if n := count(all, "signalbox_call_duration_seconds_count", map[string]string{"method": "SendMessage", "outcome": "SUCCEEDED"}); n != 3 {
		t.Errorf("the duration was seen %v times, want 3", n)
	}
	for _, gauge := range []string{"signalbox_open_streams", "signalbox_upstream_calls_in_flight"} {
		if !slices.ContainsFunc(all, func(s series) bool { return s.name == gauge && s.value == 0 }) {
			t.Errorf("%s is not 0 while nothing is open", gauge)
		}
	}

	// Whatever callers and agents make up, there are no more series than before.
	odd := func(i int) {
		name := fmt.Sprintf("made-up-%d", i)
		g.Call(name, key, "SendMessage", gatewaytest.Message(name, "hi", ""))
		g.Call(agent, key, name, "{}")
		g.Call(agent, key, "GetTask", `{"id":`+strconv.Quote(name)+`}`, "A2A-Version", name)
		g.Call(agent, name, "SendMessage", gatewaytest.Message(name, "hi", ""))
		g.Do(http.MethodPost, "/a2a/"+agent+"/"+name, key, "{}")
		g.Do("PURGE", "/a2a/"+agent, key, "")
		g.Do(http.MethodGet, "/a2a/"+name+"/.well-known/agent-card.json", key, "")
		g.Call(agent, key, "SendMessage", gatewaytest.Message(peers.HostilePrefix+string(peers.Status500)+name, "hi", ""))
	}
	odd(0)
	names := func() []string {
		var list []string
		for _, s := range scrape(t, g) {
			list = append(list, s.String())
		}
		return list
	}
	refused := func() (n float64) {
		for _, s := range scrape(t, g) {
			if s.name == "signalbox_calls_total" {
				n += s.value
			}
		}
		return n
	}
	total := refused()
	eventually(t, func() bool { was := total; total = refused(); return was == total && total > 10 })
	before := names()
	for i := range 20 {
		odd(i + 1)
	}
	eventually(t, func() bool { return refused() >= total+20*8 })
	if diff := cmp.Diff(before, names()); diff != "" {
		t.Errorf("callers made new series (-before +after):\n%s", diff)
	}
	bounded := []string{"method", "dialect", "outcome", "reason", "kind", "le"}
	value := regexp.MustCompile(`^[A-Za-z0-9_/.+-]*$`)
	for _, s := range scrape(t, g) {
		for name, v := range s.labels {
			if !slices.Contains(bounded, name) || !value.MatchString(v) ||
				strings.Contains(v, "of-the-test") || strings.Contains(v, "made-up") {
				t.Errorf("%s has %s=%q", s.name, name, v)
			}
		}
	}
}

func TestMetrics_OpenStreamsAreAGauge(t *testing.T) {
	// A send is read on for a while after its caller left, and open as long.
	g := gatewaytest.Start(t, func(c *config.Config) { c.Stream.OrphanTimeout = 50 * time.Millisecond })
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{Delay: time.Hour}).URL)
	value := func(name string) float64 { return count(scrape(t, g), name, map[string]string{}) }
	resp := stream(g, key, peers.SlowFirst)
	eventually(t, func() bool {
		return value("signalbox_open_streams") == 1 && value("signalbox_upstream_calls_in_flight") == 1
	})
	_ = resp.Body.Close() // the caller leaves
	eventually(t, func() bool {
		return value("signalbox_open_streams") == 0 && value("signalbox_upstream_calls_in_flight") == 0
	})
}

// probe reads /readyz.
func probe(t *testing.T, g *gatewaytest.Gateway) (gatewaytest.Reply, map[string]any) {
	t.Helper()
	got := g.Do(http.MethodGet, "/readyz", "", "")
	state := map[string]any{}
	if err := json.Unmarshal(got.Body, &state); err != nil || got.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("GET /readyz: %s %s, %v", got.Header.Get("Content-Type"), got.Body, err)
	}
	return got, state
}

func TestHealth_AReadyGatewaySaysSoAndNamesItsRevision(t *testing.T) {
	g := gatewaytest.Start(t)
	if got := g.Do(http.MethodGet, "/healthz", "", ""); got.Status != http.StatusOK || string(got.Body) != "ok\n" {
		t.Errorf("GET /healthz: HTTP %d %q", got.Status, got.Body)
	}
	first, state := probe(t, g)
	revision, err := strconv.ParseFloat(first.Header.Get("X-Signalbox-Revision"), 64)
	if first.Status != http.StatusOK || err != nil || state["ready"] != true || state["revision"] != revision || state["problems"] != nil {
		t.Errorf("GET /readyz: HTTP %d, revision %q, %v", first.Status, first.Header.Get("X-Signalbox-Revision"), state)
	}
	g.Team("demo")
	second, state := probe(t, g)
	if later, err := strconv.ParseFloat(second.Header.Get("X-Signalbox-Revision"), 64); err != nil || later <= revision || state["revision"] != later {
		t.Errorf("after a change the revision is %q, before it was %v", second.Header.Get("X-Signalbox-Revision"), revision)
	}
	if got := g.Do(http.MethodHead, "/readyz", "", ""); got.Status != http.StatusOK || len(got.Body) != 0 {
		t.Errorf("HEAD /readyz: HTTP %d %q", got.Status, got.Body)
	}
}

func TestHealth_AGatewayThatCannotConfirmItsConfigurationIsNotReadyButAlive(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Snapshot.MaxAge = time.Nanosecond })
	got, state := probe(t, g)
	problems, _ := state["problems"].([]any)
	if got.Status != http.StatusServiceUnavailable || state["ready"] != false || len(problems) != 1 || !strings.Contains(fmt.Sprint(problems), "configuration") {
		t.Errorf("GET /readyz: HTTP %d, %v", got.Status, state)
	}
	if got.Header.Get("X-Signalbox-Revision") == "" {
		t.Error("the revision is not named")
	}
	if got := g.Do(http.MethodGet, "/healthz", "", ""); got.Status != http.StatusOK {
		t.Errorf("GET /healthz: HTTP %d", got.Status)
	}
}
