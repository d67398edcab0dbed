package policy

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText string

// Schema returns the Cedar schema that every policy is validated against, as people
// read it.
func Schema() string { return schemaText }

// namespace stands in front of every type of the schema.
const namespace = "Signalbox::"

// model is the schema in the forms that deciding needs.
type model struct {
	schema    *resolved.Schema
	validator *validate.Validator
	actions   map[Action]*actionModel
	// names are all words of the schema, for suggestions.
	names []string
}

// actionModel is one action with what it may be asked about.
type actionModel struct {
	uid    UID
	entity Entity
	// within are the action itself and the groups that it is in, direct or not.
	within     []UID
	principals []types.EntityType
	resources  []types.EntityType
	context    resolved.RecordType
}

// asks tells whether the schema has this question.
func (a *actionModel) asks(principal, resource types.EntityType) bool {
	return slices.Contains(a.principals, principal) && slices.Contains(a.resources, resource)
}

// loadModel reads the embedded schema once. The value never changes afterwards.
var loadModel = sync.OnceValue(func() *model {
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar([]byte(schemaText)); err != nil {
		panic(fmt.Errorf("policy: the embedded schema: %w", err))
	}
	rs, err := s.Resolve()
	if err != nil {
		panic(fmt.Errorf("policy: the embedded schema: %w", err))
	}
	m := &model{schema: rs, validator: validate.New(rs), actions: map[Action]*actionModel{}}
	words := map[string]bool{}
	for uid, a := range rs.Actions {
		am := &actionModel{uid: uid, entity: a.Entity, within: actionsAbove(rs, uid)}
		if a.AppliesTo != nil {
			am.principals, am.resources, am.context = a.AppliesTo.Principals, a.AppliesTo.Resources, a.AppliesTo.Context
			collectWords(words, a.AppliesTo.Context)
		}
		m.actions[Action(uid.ID)] = am
		words[uid.String()] = true
	}
	for name, e := range rs.Entities {
		words[string(name)] = true
		collectWords(words, e.Shape)
	}
	m.names = slices.Sorted(maps.Keys(words))
	return m
})

// actionsAbove returns an action and all groups that it is in.
func actionsAbove(s *resolved.Schema, uid UID) []UID {
	found := []UID{uid}
	for i := 0; i < len(found); i++ {
		for parent := range s.Actions[found[i]].Entity.Parents.All() {
			if !slices.Contains(found, parent) {
				found = append(found, parent)
			}
		}
	}
	slices.SortFunc(found[1:], compareUID)
	return found
}

func collectWords(words map[string]bool, r resolved.RecordType) {
	for name, attr := range r {
		words[string(name)] = true
		if inner, ok := attr.Type.(resolved.RecordType); ok {
			collectWords(words, inner)
		}
	}
}

func compareUID(a, b UID) int {
	if c := strings.Compare(string(a.Type), string(b.Type)); c != 0 {
		return c
	}
	return strings.Compare(string(a.ID), string(b.ID))
}

// Actions returns every action that a question may be about, in order. Groups that
// only policies name are left out.
func Actions() []Action {
	var all []Action
	for name, a := range loadModel().actions {
		if len(a.principals) > 0 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Includes tells whether an action is another one or stands in its group.
func (a Action) Includes(other Action) bool {
	m := loadModel()
	group, ok := m.actions[a]
	if !ok {
		return false
	}
	member, ok := m.actions[other]
	return ok && slices.Contains(member.within, group.uid)
}
