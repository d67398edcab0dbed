package api_test

import (
	"testing"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
)

// Who may adopt for an agent may do so for itself, whether it may read itself or not: a
// publisher reads no keys.
func TestAdoptTasks_EverybodyMayAdoptForItself(t *testing.T) {
	p := newAdopting(t)
	ctx := t.Context()
	made, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/one", KeyId: "pub", Roles: []string{"teams/one/roles/publisher"}})
	must(t, err)
	_, err = p.as(made.GetSecret()).AdoptTasks(ctx, &taskv1.AdoptTasksRequest{
		Agent: "agents/first", Owner: made.GetKey().GetName(), Entries: entriesOf("t1"),
	})
	must(t, err)
	p.wantOwner(t, "agents/first", "t1", made.GetKey().GetName())
}
