package policy

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/shard"
)

//go:embed shipped/*.cedar
var shippedFiles embed.FS

// Shipped returns the policies that come with Signalbox, in order of their ids: those
// of the roles, and those of keys that were given no role. All are enforced.
func Shipped() []Policy {
	names, err := fs.Glob(shippedFiles, "shipped/*.cedar")
	if err != nil {
		panic(fmt.Errorf("policy: the shipped policies: %w", err))
	}
	var all []Policy
	for _, name := range names {
		text, err := shippedFiles.ReadFile(name)
		if err != nil {
			panic(fmt.Errorf("policy: the shipped policies: %w", err))
		}
		all = append(all, Policy{
			ID: strings.TrimSuffix(path.Base(name), ".cedar"), Version: 1, Mode: ModeEnforce, Text: string(text),
		})
	}
	return all
}

// policyKey names a policy of a set: a shadow may stand beside the enforced one.
type policyKey struct {
	id     string
	shadow bool
}

// Set is the policies of an installation, compiled. It never changes; With makes
// another one. The zero value has no policies and denies everything.
type Set struct {
	policies shard.Map[policyKey, *compiled]
	index    index
	// shadows counts the policies that are in SHADOW.
	shadows int
	// token is the set's identity for caches, which must not keep old sets alive.
	token *setToken
}

// setToken is a thing with an address of its own.
type setToken struct{ _ byte }

// ErrDuplicatePolicy is two policies of one id of which not exactly one is a shadow.
var ErrDuplicatePolicy = errors.New("two policies have one id")

// Compile parses and validates policies and makes a set of them. All mistakes are
// reported at once, as a [*MistakesError].
func Compile(policies []Policy) (*Set, error) { return load(policies, true) }

// Load makes a set of policies that were validated when they were written, such as
// those of a catalogue that is read at the start. It parses them and does not compare
// them with the schema, which is most of the cost.
func Load(policies []Policy) (*Set, error) { return load(policies, false) }

func load(policies []Policy, validate bool) (*Set, error) {
	seen := map[policyKey]bool{}
	for _, p := range policies {
		if seen[p.key()] {
			return nil, fmt.Errorf("%w: %q", ErrDuplicatePolicy, p.ID)
		}
		seen[p.key()] = true
	}
	return new(Set).with(policies, nil, validate)
}

func (p Policy) key() policyKey { return policyKey{id: p.ID, shadow: p.Mode == ModeShadow} }

// Removal names a policy to take out of a set.
type Removal struct {
	ID string
	// Shadow takes out the shadow and leaves the policy that is enforced or disabled.
	Shadow bool
}

// With returns the set with some policies added or replaced and others removed. What
// it costs depends on the change and hardly on the set.
func (s *Set) With(changed []Policy, removed []Removal) (*Set, error) {
	return s.with(changed, removed, true)
}

// Apply is With for policies that were validated when they were written: it parses them
// and does not compare them with the schema.
func (s *Set) Apply(changed []Policy, removed []Removal) (*Set, error) {
	return s.with(changed, removed, false)
}

func (s *Set) with(changed []Policy, removed []Removal, validate bool) (*Set, error) {
	var mistakes []Mistake
	var come, gone []*statement
	next, shadows := shard.Edit(s.policies), s.shadows
	retire := func(k policyKey) {
		if old, ok := next.Get(k); ok {
			if old.Mode != ModeDisabled {
				gone = append(gone, old.statements...)
			}
			if k.shadow {
				shadows--
			}
			next.Remove(k)
		}
	}
	for _, r := range removed {
		retire(policyKey{id: r.ID, shadow: r.Shadow})
	}
	given := make(map[policyKey]bool, len(changed))
	for _, p := range changed {
		if given[p.key()] {
			return nil, fmt.Errorf("%w: %q", ErrDuplicatePolicy, p.ID)
		}
		given[p.key()] = true
		c, bad := compilePolicy(p, validate)
		if bad != nil {
			mistakes = append(mistakes, bad...)
			continue
		}
		retire(p.key())
		next.Set(p.key(), c)
		if p.Mode == ModeShadow {
			shadows++
		}
		if p.Mode != ModeDisabled {
			come = append(come, c.statements...)
		}
	}
	if mistakes != nil {
		return nil, &MistakesError{Mistakes: mistakes}
	}
	return &Set{policies: next.Map(), index: s.index.edit(gone, come), shadows: shadows, token: new(setToken)}, nil
}

// Policies returns the policies of the set, ordered by id, an enforced one before its
// shadow.
func (s *Set) Policies() []Policy {
	all := make([]Policy, 0, s.policies.Len())
	s.policies.Each(func(_ policyKey, c *compiled) bool {
		all = append(all, c.Policy)
		return true
	})
	slices.SortFunc(all, func(a, b Policy) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return strings.Compare(string(a.Mode), string(b.Mode))
	})
	return all
}

// Policy returns a policy by its id, the enforced or disabled one or its shadow.
func (s *Set) Policy(id string, shadow bool) (Policy, bool) {
	c, ok := s.policies.Get(policyKey{id: id, shadow: shadow})
	if !ok {
		return Policy{}, false
	}
	return c.Policy, true
}

// Len returns the number of policies in the set.
func (s *Set) Len() int { return s.policies.Len() }

// Check parses and validates one policy and returns its mistakes, none when it may be
// used.
func Check(p Policy) []Mistake {
	_, mistakes := compilePolicy(p, true)
	return mistakes
}
