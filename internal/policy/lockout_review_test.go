package policy_test

import (
	"errors"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

// What forbids under a condition that depends on where, how or when an admin calls is no
// less of a lock-out for not applying to a question that says none of it.
func TestLastAdminLockedOut_CountsForbidsThatRestOnTheCall(t *testing.T) {
	shipped := policy.Shipped()
	entities := small(policy.UserEntity("users/ada", "", false, nil, policy.RoleNameAdmin.UID("")))
	before := policy.World{Set: compile(t, shipped...), Entities: entities}
	admins := []policy.UID{policy.AdminKeyUID, policy.UserUID("users/ada")}
	for _, tt := range []struct {
		name, text string
		refused    bool
	}{
		{"every call that has an address", `forbid (principal, action, resource) when { context has sourceAddress };`, true},
		{"addresses elsewhere", `forbid (principal, action, resource) when { context has sourceAddress && !context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`, true},
		{"every call that has a method", `forbid (principal, action, resource) when { context has method && context.method like "*" };`, true},
		{"later today", `forbid (principal, action, resource) when { context.hour >= 14 };`, true},
		{"from tomorrow on", `forbid (principal, action, resource) when { context.time >= datetime("2099-01-01") };`, true},
		{"every day", `forbid (principal, action, resource) when { context.weekday > 0 };`, true},
		{"one that fails in some calls", `forbid (principal, action, resource) when { context has session && context.session.calls * 2 > 9 };`, true},
		{"a choice", `forbid (principal, action, resource) when { if context.hour > 12 then true else principal is Signalbox::User };`, true},
		{"a choice between nothing and nothing", `forbid (principal, action, resource) when { if context.hour > 12 then principal is Signalbox::Agent else false };`, false},
		{"a condition that is not about the call", `forbid (principal, action, resource) when { principal is Signalbox::Agent };`, false},
		{"addresses, but not for admins", `forbid (principal, action, resource) when { context has sourceAddress } unless { principal in Signalbox::Role::"admin" };`, false},
		{"addresses, but not for admins, in one condition", `forbid (principal, action, resource) when { context has sourceAddress && !(principal in Signalbox::Role::"admin") };`, false},
		{"nights, but not for admins", `forbid (principal, action, resource) unless { principal in Signalbox::Role::"admin" || context.hour > 6 };`, false},
		{"the addresses of users", `forbid (principal is Signalbox::User, action, resource) when { context has sourceAddress };`, false},
		{"what is not essential", `forbid (principal, action in Signalbox::Action::"invoke", resource) when { context has sourceAddress };`, false},
		{"a permit for office hours beside the role", `permit (principal, action, resource) when { context.hour > 6 };`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := before.Set.With([]policy.Policy{enforced("f", tt.text)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = policy.LastAdminLockedOut(before, policy.World{Set: set, Entities: entities}, admins, noon)
			if errors.Is(err, policy.ErrLockedOut) != tt.refused {
				t.Errorf("LastAdminLockedOut = %v", err)
			}
		})
	}
}

// Where nobody can do without such a right, what is possible stays possible.
func TestLastAdminLockedOut_WhoAdministersUnderConditionsMayGoOn(t *testing.T) {
	shipped := policy.Shipped()
	office := enforced("office", `forbid (principal, action, resource) when { context has sourceAddress && !context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`)
	before := policy.World{Set: compile(t, append(shipped, office)...), Entities: small()}
	admins := []policy.UID{policy.AdminKeyUID}
	for _, tt := range []struct {
		name, text string
		refused    bool
	}{
		{"another policy", `forbid (principal is Signalbox::Agent, action, resource);`, false},
		{"the end", `forbid (principal, action, resource);`, true},
	} {
		set, err := before.Set.With([]policy.Policy{enforced("f", tt.text)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = policy.LastAdminLockedOut(before, policy.World{Set: set, Entities: before.Entities}, admins, noon)
		if errors.Is(err, policy.ErrLockedOut) != tt.refused {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
