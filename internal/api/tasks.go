package api

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/task/v1/taskv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// Tasks knows whose tasks and contexts are.
type Tasks interface {
	// Adopt gives ids that nobody owns to an owner.
	Adopt(ctx context.Context, request task.Adoption) (task.AdoptionResult, error)
	// Owner tells whose an id is, and false when it is nobody's.
	Owner(ctx context.Context, id task.ID) (task.Binding, bool, error)
}

var _ Tasks = (*task.Ledger)(nil)

// takenError says that ids which should be adopted belong to others.
type takenError struct {
	first          task.ID
	taken, invalid int
	ids            int // all that were given
}

func (e *takenError) Error() string {
	what := "belongs to another"
	if e.taken > 1 {
		what = fmt.Sprintf("and %d more of %d ids belong to others", e.taken-1, e.ids)
	}
	return fmt.Sprintf("%s %q %s; nothing was adopted", kindOf(e.first), clip(e.first.ID), what)
}

func (e *takenError) metadata() map[string]string {
	return map[string]string{
		kindOf(e.first) + "_id": e.first.ID, "owned_by_other_count": strconv.Itoa(e.taken), "invalid_count": strconv.Itoa(e.invalid),
	}
}

func kindOf(id task.ID) string {
	if id.Kind == task.Task {
		return "task"
	}
	return "context"
}

// taskHandler serves the TaskService.
type taskHandler struct{ *api }

var _ taskv1connect.TaskServiceHandler = taskHandler{}

// AdoptTasks gives tasks and contexts that nobody owns to an owner.
func (h taskHandler) AdoptTasks(ctx context.Context, req *taskv1.AdoptTasksRequest) (*taskv1.AdoptTasksResponse, error) {
	// Those who are permitted this could read the agent's tasks at the agent itself, so that
	// nobody comes to see more by guessing ids. What has an owner is safe from everybody.
	agent, err := registryHandler(h).agent(ctx, policy.AdoptTasks, req.GetAgent())
	if err != nil {
		return nil, err
	}
	owner, err := h.recipient(ctx, req.GetOwner())
	if err != nil {
		return nil, err
	}
	endpoint, err := instanceOf(&agent, req.GetEndpointUrl())
	if err != nil {
		return nil, err
	}
	adoption := task.Adoption{
		Agent: agent.UID, Owner: owner, Endpoint: endpoint, ValidateOnly: req.GetValidateOnly(),
		SkipTaken: req.GetConflictMode() == taskv1.ConflictMode_CONFLICT_MODE_SKIP,
	}
	for _, e := range req.GetEntries() {
		adoption.Items = append(adoption.Items, task.Item{Task: e.GetTaskId(), Context: e.GetContextId(), Terminal: e.GetTerminal()})
	}
	result, err := h.tasks.Adopt(ctx, adoption)
	if err != nil {
		return nil, err
	}
	if result.Refused {
		return nil, refusal(result.IDs)
	}
	res := adoptionToProto(result.IDs)
	if !req.GetValidateOnly() {
		recordChange(ctx, nil, res, 0) // whose the ids are now; the configuration stays
		h.log.LogAttrs(ctx, slog.LevelInfo, "tasks adopted",
			slog.String("agent", agent.Name()), slog.String("owner", req.GetOwner()), slog.String("author", interceptor.Principal(ctx).Name),
			slog.Int("adopted", int(res.GetAdoptedCount())), slog.Int("owned_by_other", int(res.GetOwnedByOtherCount())),
			slog.Int("invalid", int(res.GetInvalidCount())))
	}
	return res, nil
}

// recipient returns the uid of a principal to whom the caller may give tasks: itself, one
// of its own team that it may see, or any that it may change.
func (h taskHandler) recipient(ctx context.Context, name string) (uuid.UUID, error) {
	caller := interceptor.Principal(ctx)
	if name == caller.Name {
		return caller.UID, nil
	}
	choose := func(team string, read, change policy.Action) policy.Action {
		if team != "" && slices.Contains(h.snapshot().Teams(&caller), team) {
			return read
		}
		return change
	}
	switch kind, rest, _ := strings.Cut(name, "/"); kind {
	case "users":
		u, err := identityHandler(h).user(ctx, policy.UpdateUser, name)
		return u.UID, err
	case "agents":
		team := ""
		if a, ok := h.snapshot().Agent(rest); ok {
			team = a.Team
		}
		a, err := registryHandler(h).agent(ctx, choose(team, policy.GetAgent, policy.UpdateAgent), name)
		return a.UID, err
	}
	team, _ := keyParts(name)
	k, err := identityHandler(h).key(ctx, choose(team, policy.GetKey, policy.UpdateKey), name)
	return k.UID, err
}

// instanceOf returns the endpoint of an agent that a request names. What calls are sent
// to is never taken from a request: it must be registered.
func instanceOf(a *registry.Agent, given string) (string, error) {
	if given == "" {
		if len(a.Endpoints) == 1 {
			return a.Endpoints[0].URL, nil
		}
		return "", nil
	}
	for _, e := range a.Endpoints {
		if e.URL == strings.TrimRight(given, "/") {
			return e.URL, nil
		}
	}
	return "", &invalidError{field: "endpoint_url", problem: "it is none of the endpoints of " + a.Name()}
}

// refusal is the error for an adoption that some ids stand in the way of.
func refusal(ids []task.Judged) error {
	taken := &takenError{ids: len(ids)}
	var invalid *task.Judged
	for i := range ids {
		switch ids[i].Verdict {
		case task.OwnedByOther:
			if taken.taken == 0 {
				taken.first = ids[i].ID
			}
			taken.taken++
		case task.Invalid:
			if invalid == nil {
				invalid = &ids[i]
			}
			taken.invalid++
		case task.Adopted, task.AlreadyOwned:
		}
	}
	if taken.taken == 0 && invalid != nil {
		return &invalidError{
			field: fmt.Sprintf("entries[%d].%s_id", invalid.Item, kindOf(invalid.ID)), problem: invalid.Problem + "; nothing was adopted",
		}
	}
	return taken
}

func adoptionToProto(ids []task.Judged) *taskv1.AdoptTasksResponse {
	res := &taskv1.AdoptTasksResponse{Results: make([]*taskv1.AdoptionResult, len(ids))}
	for i, j := range ids {
		r := &taskv1.AdoptionResult{Problem: j.Problem}
		if j.Kind == task.Task {
			r.Id = &taskv1.AdoptionResult_TaskId{TaskId: j.ID.ID}
		} else {
			r.Id = &taskv1.AdoptionResult_ContextId{ContextId: j.ID.ID}
		}
		switch j.Verdict {
		case task.Adopted:
			r.Outcome = taskv1.AdoptionOutcome_ADOPTION_OUTCOME_ADOPTED
			res.AdoptedCount++
		case task.AlreadyOwned:
			r.Outcome = taskv1.AdoptionOutcome_ADOPTION_OUTCOME_ALREADY_OWNED
			res.AlreadyOwnedCount++
		case task.OwnedByOther:
			r.Outcome = taskv1.AdoptionOutcome_ADOPTION_OUTCOME_OWNED_BY_OTHER
			res.OwnedByOtherCount++
		case task.Invalid:
			r.Outcome = taskv1.AdoptionOutcome_ADOPTION_OUTCOME_INVALID
			res.InvalidCount++
		}
		res.Results[i] = r
	}
	return res
}

// GetOwner tells whose a task or context is.
func (h taskHandler) GetOwner(ctx context.Context, req *taskv1.GetOwnerRequest) (*taskv1.Owner, error) {
	agent, err := registryHandler(h).agent(ctx, policy.GetAgent, req.GetAgent())
	if err != nil {
		return nil, err
	}
	id := task.ID{Kind: task.Task, Agent: agent.UID, ID: req.GetTaskId()}
	if _, ok := req.GetId().(*taskv1.GetOwnerRequest_ContextId); ok {
		id.Kind, id.ID = task.Context, req.GetContextId()
	}
	b, owned, err := h.tasks.Owner(ctx, id)
	if err != nil {
		return nil, err
	}
	if !owned {
		return nil, &unownedError{id: id, agent: agent.Name()}
	}
	out := &taskv1.Owner{Agent: agent.Name(), Owner: h.ownerName(ctx, b.Owner), EndpointUrl: b.Endpoint, Terminal: b.Terminal}
	if id.Kind == task.Task {
		out.TaskId, out.ContextId = id.ID, b.Context
	} else {
		out.ContextId = id.ID
	}
	return out, nil
}

// ownerName returns the name of a principal; empty when the caller may not see it or it
// is not known.
func (h taskHandler) ownerName(ctx context.Context, uid uuid.UUID) string {
	if admin := identity.Admin(); uid == admin.UID {
		return admin.Name
	}
	snap := h.snapshot()
	// This is about what is shown: the call itself is decided already.
	if k, ok := snap.KeyByUID(uid); ok {
		if h.may(ctx, policy.GetKey, keyResource(k.Team, k.ID, k.Disabled)) {
			return k.Name()
		}
		return ""
	}
	if a, ok := snap.AgentByUID(uid); ok {
		if r := agentResource(a.Agent); h.may(ctx, policy.GetAgent, r) || h.discovers(ctx, r) {
			return a.Name()
		}
		return ""
	}
	// Most users are known to the database alone: while it does not answer, no name is shown.
	u, err := h.identity.UserByUID(ctx, uid)
	if err != nil || !h.may(ctx, policy.GetUser, userResource(&u)) {
		return ""
	}
	return u.Name()
}

// unownedError says that nobody owns an id.
type unownedError struct {
	id    task.ID
	agent string
}

func (e *unownedError) Error() string {
	return fmt.Sprintf("%s %q of %s belongs to nobody", kindOf(e.id), clip(e.id.ID), e.agent)
}
