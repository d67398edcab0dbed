package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// epoch is the time at which the tests of this package read.
func epoch() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// history is a configuration that changes at random, and everything that it ever
// knew, so that what must be gone is looked for as well.
type history struct {
	rng    *rand.Rand
	keys   map[uuid.UUID]*identity.Key
	agents map[uuid.UUID]*registry.Agent
	made   int

	secrets, names []string
	uids           []uuid.UUID
	deltas         []Delta
}

func newHistory(seed uint64) *history {
	return &history{
		rng:  rand.New(rand.NewPCG(seed, 1)),
		keys: map[uuid.UUID]*identity.Key{}, agents: map[uuid.UUID]*registry.Agent{},
	}
}

func (h *history) uid() uuid.UUID {
	h.made++
	uid := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, h.made))
	h.uids = append(h.uids, uid)
	return uid
}

func (h *history) secret() identity.Secret {
	h.made++
	text := fmt.Sprintf("sb_secret-%d", h.made)
	h.secrets = append(h.secrets, text)
	return identity.Secret{SHA256: identity.HashSecret(text)}
}

func (h *history) name() string {
	h.made++
	name := fmt.Sprintf("agent-%d", h.made)
	h.names = append(h.names, name)
	return name
}

// pick returns one of the keys of a map, chosen by the history's own numbers.
func pick[V any](h *history, m map[uuid.UUID]V) (uuid.UUID, bool) {
	if len(m) == 0 {
		return uuid.UUID{}, false
	}
	uids := slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return uids[h.rng.IntN(len(uids))], true
}

// step makes some changes and one delta of them.
func (h *history) step() {
	d := Delta{
		Revision: int64(len(h.deltas) + 1),
		Keys:     map[uuid.UUID]*identity.Key{}, Agents: map[uuid.UUID]*registry.Agent{},
	}
	for range 1 + h.rng.IntN(4) {
		if h.rng.IntN(2) == 0 {
			h.changeKey(d)
		} else {
			h.changeAgent(d)
		}
	}
	h.deltas = append(h.deltas, d)
}

func (h *history) changeKey(d Delta) {
	uid, there := pick(h, h.keys)
	op := h.rng.IntN(5)
	if !there || op == 0 {
		uid = h.uid()
		key := &identity.Key{UID: uid, Team: "t", ID: uid.String(), Secrets: []identity.Secret{h.secret()}}
		h.keys[uid], d.Keys[uid] = key, key
		return
	}
	key := *h.keys[uid]
	switch op {
	case 1:
		delete(h.keys, uid)
		d.Keys[uid] = nil
		return
	case 2:
		key.Disabled = !key.Disabled
	case 3: // rotated, the old secret ending at once
		key.Secrets = []identity.Secret{h.secret()}
	case 4: // rotated, the old secret living on for a while that may be over
		old := key.Secrets[0]
		old.ExpireTime = epoch().Add(time.Duration(h.rng.IntN(3)-1) * time.Hour)
		key.Secrets = []identity.Secret{h.secret(), old}
	}
	h.keys[uid], d.Keys[uid] = &key, &key
}

func (h *history) changeAgent(d Delta) {
	uid, there := pick(h, h.agents)
	op := h.rng.IntN(6)
	if !there || op == 0 {
		uid = h.uid()
		agent := &registry.Agent{
			UID: uid, ID: h.name(), Aliases: []string{h.name(), h.name()}, State: registry.StateApproved,
			Endpoints: []registry.Endpoint{{URL: "http://127.0.0.1:9", Weight: 1}},
		}
		h.agents[uid], d.Agents[uid] = agent, agent
		return
	}
	agent := *h.agents[uid]
	switch op {
	case 1: // gone, and its name taken by another in the same change
		delete(h.agents, uid)
		d.Agents[uid] = nil
		if heir, ok := pick(h, h.agents); ok {
			next := *h.agents[heir]
			next.Aliases = append(slices.Clone(next.Aliases), agent.ID)
			h.agents[heir], d.Agents[heir] = &next, &next
		}
		return
	case 2: // one alias less
		if len(agent.Aliases) > 0 {
			agent.Aliases = slices.Clone(agent.Aliases[1:])
		}
	case 3: // renamed; the old name stays an alias
		agent.Aliases = append(slices.Clone(agent.Aliases), agent.ID)
		agent.ID = h.name()
	default: // an alias moves to another agent, or both swap theirs
		other, _ := pick(h, h.agents)
		if other == uid {
			agent.DisplayName += "+"
			break
		}
		next := *h.agents[other]
		agent.Aliases, next.Aliases = next.Aliases, agent.Aliases
		h.agents[other], d.Agents[other] = &next, &next
	}
	h.agents[uid], d.Agents[uid] = &agent, &agent
}

// squash makes one delta of several, as a replica that was away gets it.
func squash(deltas []Delta) Delta {
	all := Delta{Keys: map[uuid.UUID]*identity.Key{}, Agents: map[uuid.UUID]*registry.Agent{}}
	for _, d := range deltas {
		all.Revision = d.Revision
		maps.Copy(all.Keys, d.Keys)
		maps.Copy(all.Agents, d.Agents)
	}
	return all
}

// view is what a reader can learn from a snapshot.
type view struct {
	Revision int64
	Secrets  map[string]string // the principal, or why there is none
	Names    map[string]registry.Agent
	UIDs     map[uuid.UUID]registry.Agent
	Each     map[uuid.UUID]registry.Agent
	Count    int
}

// read reads everything that a history ever had from a snapshot.
func (h *history) read(s *Snapshot) view {
	v := view{
		Revision: s.Revision(), Secrets: map[string]string{}, Names: map[string]registry.Agent{},
		UIDs: map[uuid.UUID]registry.Agent{}, Each: map[uuid.UUID]registry.Agent{}, Count: s.Agents(),
	}
	for _, secret := range h.secrets {
		p, err := s.Authenticate(secret, epoch())
		v.Secrets[secret] = p.Name
		if err != nil {
			v.Secrets[secret] = err.Error()
		}
	}
	for _, name := range h.names {
		if a, ok := s.Agent(name); ok {
			v.Names[name] = *a.Agent
		}
	}
	for _, uid := range h.uids {
		if a, ok := s.AgentByUID(uid); ok {
			v.UIDs[uid] = *a.Agent
		}
	}
	s.EachAgent(func(a *Agent) bool {
		v.Each[a.UID] = *a.Agent
		return true
	})
	return v
}

// want is what a snapshot of the history's present state must say.
func (h *history) want() view {
	v := view{
		Revision: int64(len(h.deltas)), Secrets: map[string]string{}, Names: map[string]registry.Agent{},
		UIDs: map[uuid.UUID]registry.Agent{}, Each: map[uuid.UUID]registry.Agent{}, Count: len(h.agents),
	}
	for _, secret := range h.secrets {
		v.Secrets[secret] = identity.ErrCredentialsInvalid.Error()
	}
	for _, key := range h.keys {
		for _, sec := range key.Secrets {
			i := slices.IndexFunc(h.secrets, func(s string) bool { return identity.HashSecret(s) == sec.SHA256 })
			switch {
			case key.Disabled:
				v.Secrets[h.secrets[i]] = identity.ErrKeyDisabled.Error()
			case !sec.ExpireTime.IsZero() && !epoch().Before(sec.ExpireTime):
				v.Secrets[h.secrets[i]] = identity.ErrKeyExpired.Error()
			default:
				v.Secrets[h.secrets[i]] = key.Name()
			}
		}
	}
	for uid, a := range h.agents {
		v.UIDs[uid], v.Each[uid], v.Names[a.ID] = *a, *a, *a
		for _, alias := range a.Aliases {
			v.Names[alias] = *a
		}
	}
	return v
}

func TestApply_OneByOneOrAllAtOnceIsTheSame(t *testing.T) {
	for seed := range uint64(40) {
		h := newHistory(seed)
		for range 60 {
			h.step()
		}
		want := h.want()
		one := &Snapshot{}
		all := []*Snapshot{one}
		for _, d := range h.deltas {
			one = one.mustApply(d)
			all = append(all, one)
		}
		if diff := cmp.Diff(want, h.read(one)); diff != "" {
			t.Fatalf("seed %d: the deltas one by one (-want +got):\n%s", seed, diff)
		}
		// A replica may have been away after any of them.
		for _, from := range []int{0, 1, 17, 42, 59} {
			got := all[from].mustApply(squash(h.deltas[from:]))
			if diff := cmp.Diff(want, h.read(got)); diff != "" {
				t.Fatalf("seed %d: all deltas after %d at once (-want +got):\n%s", seed, from, diff)
			}
		}
	}
}

func TestApply_TheSameChangeTwiceIsOneChange(t *testing.T) {
	h := newHistory(7)
	s := &Snapshot{}
	for range 40 {
		h.step()
		d := h.deltas[len(h.deltas)-1]
		s = s.mustApply(d).mustApply(d)
	}
	if diff := cmp.Diff(h.want(), h.read(s)); diff != "" {
		t.Errorf("deltas applied twice (-want +got):\n%s", diff)
	}
}

func TestSnapshot_NeverChangesWhileNewerOnesAreMade(t *testing.T) {
	h := newHistory(3)
	for range 50 {
		h.step()
	}
	old := &Snapshot{}
	for _, d := range h.deltas {
		old = old.mustApply(d)
	}
	want := h.read(old)
	reader := *h // the reader looks for what there was
	start, stop, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		close(start)
		for {
			if diff := cmp.Diff(want, reader.read(old)); diff != "" {
				done <- errors.New(diff)
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			default: // once more
			}
		}
	}()
	<-start
	// Newer ones in a line and newer ones side by side, all sharing what the old one has.
	next := old
	for range 150 {
		h.step()
		d := h.deltas[len(h.deltas)-1]
		next = next.mustApply(d)
		old.mustApply(d)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a snapshot changed (-before +after):\n%v", err)
	}
	if diff := cmp.Diff(h.want(), h.read(next)); diff != "" {
		t.Errorf("the newest snapshot (-want +got):\n%s", diff)
	}
}

func TestEachAgent_StopsWhenTold(t *testing.T) {
	s := benchSnapshot(100)
	n := 0
	s.EachAgent(func(*Agent) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("%d agents were shown, want 3", n)
	}
	(&Snapshot{}).EachAgent(func(*Agent) bool { t.Error("an empty snapshot has an agent"); return true })
}
