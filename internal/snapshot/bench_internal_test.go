package snapshot

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

func benchUID(kind string, i int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, kind, i))
}

func benchSecret(i int) string { return fmt.Sprintf("sb_secret-of-a-benchmark-%d", i) }

func benchAgent(i int) *registry.Agent {
	return &registry.Agent{
		UID: benchUID("agent", i), ID: fmt.Sprintf("agent-%d", i), State: registry.StateApproved,
		Aliases:   []string{fmt.Sprintf("alias-%d", i)},
		Endpoints: []registry.Endpoint{{URL: "http://127.0.0.1:9000", Weight: 1}},
	}
}

// benchSnapshot has n keys and n agents.
func benchSnapshot(n int) *Snapshot {
	d := Delta{Revision: 1, Keys: map[uuid.UUID]*identity.Key{}, Agents: map[uuid.UUID]*registry.Agent{}}
	for i := range n {
		key := &identity.Key{
			UID: benchUID("key", i), Team: "t", ID: fmt.Sprintf("key-%d", i),
			Secrets: []identity.Secret{{SHA256: identity.HashSecret(benchSecret(i))}},
		}
		agent := benchAgent(i)
		d.Keys[key.UID], d.Agents[agent.UID] = key, agent
	}
	return (&Snapshot{}).mustApply(d)
}

const benchSize = 100_000

func BenchmarkAuthenticate(b *testing.B) {
	s := benchSnapshot(benchSize)
	secrets := make([]string, 1024)
	for i := range secrets {
		secrets[i] = benchSecret(i * 97)
	}
	now := epoch()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Authenticate(secrets[i%len(secrets)], now); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkAgent(b *testing.B) {
	s := benchSnapshot(benchSize)
	names := make([]string, 1024)
	for i := range names {
		names[i] = fmt.Sprintf("alias-%d", i*97)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Agent(names[i%len(names)]); !ok {
			b.Fatal("no such agent")
		}
		i++
	}
}

// BenchmarkApply changes one of 100 000 agents.
func BenchmarkApply(b *testing.B) {
	s := benchSnapshot(benchSize)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		agent := benchAgent(i % benchSize)
		agent.DisplayName = "changed"
		s = s.mustApply(Delta{Revision: int64(i + 2), Agents: map[uuid.UUID]*registry.Agent{agent.UID: agent}})
		i++
	}
	if s.Agents() != benchSize {
		b.Fatalf("%d agents, want %d", s.Agents(), benchSize)
	}
}

// mustApply is apply of what cannot fail.
func (s *Snapshot) mustApply(d Delta) *Snapshot {
	next, err := s.apply(d)
	if err != nil {
		panic(err)
	}
	return next
}
