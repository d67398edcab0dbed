package policy

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// history is a random world whose changes are noted as they happen.
type history struct {
	*world
	base     []Policy
	entities []EntityVersion
	policies []Version
	asked    []asked
}

// asked is a question with the answer that it got.
type asked struct {
	revision uint64
	query    Query
	answer   Answer
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	w := &world{
		r: rand.New(rand.NewPCG(seed, 9)), entities: map[UID]Entity{}, changed: map[UID]uint64{}, policies: map[policyKey]Policy{},
	}
	h := &history{world: w}
	for _, id := range []string{"p1", "p2"} {
		p := h.valid(id)
		p.Mode = ModeEnforce
		h.base = append(h.base, p)
		w.policies[p.key()] = p
	}
	set, err := Load(h.base)
	if err != nil {
		t.Fatal(err)
	}
	w.set = set
	return h
}

// valid returns a policy that may be used.
func (h *history) valid(id string) Policy {
	for {
		p := h.policy(id)
		if _, mistakes := compilePolicy(p, true); mistakes == nil {
			return p
		}
	}
}

// step makes a revision: an entity, a policy or nothing that decisions see changes.
func (h *history) step(t *testing.T) {
	t.Helper()
	switch h.r.IntN(5) {
	case 0, 1, 2:
		before := maps.Clone(h.changed)
		h.change() // counts the revision
		for uid, at := range h.changed {
			if at == before[uid] {
				continue
			}
			v := EntityVersion{Revision: h.revision, UID: uid}
			if e, ok := h.world.entities[uid]; ok {
				v.Entity = func() Entity { return e }
			}
			h.entities = append(h.entities, v)
		}
	case 3:
		h.revision++
		h.edit(t, fmt.Sprintf("p%d", h.r.IntN(6)))
	default:
		h.revision++
	}
}

// edit changes or deletes a policy with its shadow.
func (h *history) edit(t *testing.T, id string) {
	t.Helper()
	v := Version{Revision: h.revision, ID: id}
	if h.r.IntN(4) > 0 {
		p := h.valid(id)
		v.Policies = append(v.Policies, p)
		if p.Mode != ModeShadow && h.r.IntN(2) == 0 {
			shadow := h.valid(id)
			shadow.Mode = ModeShadow
			v.Policies = append(v.Policies, shadow)
		}
	}
	h.policies = append(h.policies, v)
	come := v.Policies
	if len(come) == 0 {
		if i := slices.IndexFunc(h.base, func(p Policy) bool { return p.ID == id }); i >= 0 {
			come = h.base[i : i+1]
		}
	}
	set, err := h.set.Apply(come, []Removal{{ID: id}, {ID: id, Shadow: true}})
	if err != nil {
		t.Fatal(err)
	}
	h.set = set
}

func (h *history) ask(n int) {
	for range n {
		q := h.query()
		h.asked = append(h.asked, asked{revision: h.revision, query: q, answer: h.set.Decide(h.world, q)})
	}
}

// timeline has the versions in any order: those of one thing have different revisions.
func (h *history) timeline() *Timeline {
	entities, policies := slices.Clone(h.entities), slices.Clone(h.policies)
	h.r.Shuffle(len(entities), func(i, j int) { entities[i], entities[j] = entities[j], entities[i] })
	h.r.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
	return NewTimeline(0, h.revision, entities, policies, h.base)
}

func TestTimeline_AnswersAsWasAnsweredThen(t *testing.T) {
	for seed := range uint64(20) {
		h := newHistory(t, seed)
		for range 150 {
			h.step(t)
			h.ask(3)
		}
		tl := h.timeline()
		caches := NewCache(64)
		order := h.r.Perm(len(h.asked))
		if seed%2 == 0 {
			slices.Sort(order) // as a replay asks
		}
		for _, i := range order {
			a := h.asked[i]
			set, err := tl.Set(a.revision)
			if err != nil {
				t.Fatal(err)
			}
			e, ok := tl.At(a.revision)
			if !ok {
				t.Fatalf("revision %d is gone", a.revision)
			}
			if diff := cmp.Diff(a.answer, set.Decide(e, a.query)); diff != "" {
				t.Fatalf("seed %d, revision %d, %+v (-then +replayed):\n%s", seed, a.revision, a.query, diff)
			}
			if diff := cmp.Diff(a.answer, caches.Decide(set, e, a.query)); diff != "" {
				t.Fatalf("seed %d, revision %d, %+v, cached (-then +replayed):\n%s", seed, a.revision, a.query, diff)
			}
		}
	}
}

// What a replay of a draft says is what is answered once the draft is enforced.
func TestTimeline_EnforcingADraftAnswersAsItsReplaySaid(t *testing.T) {
	changed := 0
	for seed := range uint64(20) {
		h := newHistory(t, seed)
		for range 60 {
			h.step(t)
			h.ask(5)
		}
		tl := h.timeline()
		draft := h.valid("p1")
		draft.Mode = ModeEnforce
		current, err := tl.Set(h.revision)
		if err != nil {
			t.Fatal(err)
		}
		candidate, err := current.Apply([]Policy{draft}, nil)
		if err != nil {
			t.Fatal(err)
		}
		then, now := NewReplayer(candidate), NewReplayer(candidate)
		atLast, _ := tl.At(h.revision)
		var reportThen, reportNow []Replayed
		for _, a := range h.asked {
			e, ok := tl.At(a.revision)
			if !ok {
				t.Fatal("gone")
			}
			r := Recorded{Query: a.query, Permit: a.answer.Permit}
			reportThen = append(reportThen, then.Replay(e, r))
			reportNow = append(reportNow, now.Replay(atLast, r))
			if reportThen[len(reportThen)-1].Change() != ChangeNone {
				changed++
			}
		}

		// The draft is enforced, as the next revision.
		h.revision++
		h.policies = append(h.policies, Version{Revision: h.revision, ID: "p1", Policies: []Policy{draft}})
		shadow, hasShadow := current.Policy("p1", true)
		if hasShadow {
			h.policies[len(h.policies)-1].Policies = append(h.policies[len(h.policies)-1].Policies, shadow)
		}
		enforced, err := h.set.With([]Policy{draft}, nil)
		if err != nil {
			t.Fatal(err)
		}
		later := h.timeline()
		inForce, err := later.Set(h.revision)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range h.asked {
			e, _ := later.At(a.revision)
			if diff := cmp.Diff(reportThen[i].Answer, inForce.Decide(e, a.query)); diff != "" {
				t.Fatalf("seed %d: the replay said otherwise (-replay +enforced):\n%s", seed, diff)
			}
			if diff := cmp.Diff(reportNow[i].Answer, enforced.Decide(h.world, a.query)); diff != "" {
				t.Fatalf("seed %d: the replay over today's entities said otherwise (-replay +enforced):\n%s", seed, diff)
			}
		}
	}
	if changed == 0 {
		t.Error("no draft changed anything")
	}
}

func TestTimeline_DoesNotGuessAtRevisionsThatItDoesNotKnow(t *testing.T) {
	agent := func() Entity { return AgentEntity(Target{ID: "a", Team: "red"}) }
	tl := NewTimeline(10, 20, []EntityVersion{{3, AgentUID("a"), agent}, {15, AgentUID("a"), nil}, {18, AgentUID("a"), agent}}, nil, Shipped())
	for _, revision := range []uint64{0, 3, 9, 21, 1<<64 - 1} {
		if _, ok := tl.At(revision); ok {
			t.Errorf("revision %d is known", revision)
		}
		if _, err := tl.Set(revision); !errors.Is(err, ErrRevisionGone) {
			t.Errorf("the policies of revision %d: %v", revision, err)
		}
	}
	for revision, want := range map[uint64]bool{10: true, 14: true, 15: false, 17: false, 18: true, 20: true} {
		e, ok := tl.At(revision)
		if !ok {
			t.Fatalf("revision %d is gone", revision)
		}
		_, exists := e.Entity(AgentUID("a"))
		if exists != want || (e.Generation(AgentUID("a")) > 0) != want {
			t.Errorf("at %d the agent is there: %v, want %v", revision, exists, want)
		}
		if _, exists := e.Entity(AgentUID("b")); exists {
			t.Error("an agent that never was is there")
		}
	}
	bad := NewTimeline(0, 9, nil, []Version{{Revision: 2, ID: "bad", Policies: []Policy{{ID: "bad", Mode: ModeEnforce, Text: "permit"}}}}, nil)
	if _, err := bad.Set(1); err != nil {
		t.Error(err)
	}
	if _, err := bad.Set(5); err == nil {
		t.Error("a policy that cannot be read was passed over")
	}
	if set, err := bad.Set(1); err != nil || set.Len() != 0 {
		t.Errorf("after the failure: %v, %v", set, err)
	}
}
