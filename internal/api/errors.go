package api

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"connectrpc.com/connect"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// invalidError says that a value of a request cannot be taken, where the rules of
// the schema do not say so already.
type invalidError struct{ field, problem string }

func (e *invalidError) Error() string { return e.field + ": " + e.problem }

// maskError says what is wrong with an update mask.
type maskError struct{ path, problem string }

func (e *maskError) Error() string { return "update_mask: " + e.problem }

// deniedError says that a caller may see a thing but not do this to it.
type deniedError struct {
	action, resource string
	decision         string // the name of the decision, by which it can be explained; may be empty
	text             string // for the person who calls
}

func (e *deniedError) Error() string { return e.text }

// hiddenError stands for a resource that is absent or that the caller may not see;
// it must not matter which.
type hiddenError struct {
	resource string
	cause    error // the domain's sentinel
}

func (e *hiddenError) Error() string { return e.resource + " does not exist, or you may not see it" }
func (e *hiddenError) Unwrap() error { return e.cause }

var (
	errPageToken = errors.New("page_token: it is not of this list; begin again without one, and keep filter and order_by as they are from page to page")
	errShutdown  = errors.New("the gateway is shutting down; connect again and go on after the last sequence")
)

// unavailable is what errors of the database are that mean that it does not answer.
type unavailable interface {
	error
	DatabaseUnavailable() bool
}

// mapping is one row of the table of errors that need no values.
type mapping struct {
	err    error
	code   connect.Code
	reason errorv1.Reason
}

// mappings returns the table, in the order in which it is searched.
func mappings() []mapping {
	return append(policyMappings(), []mapping{
		{registry.ErrAgentNotFound, connect.CodeNotFound, errorv1.Reason_REASON_AGENT_NOT_FOUND},
		{registry.ErrAgentExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_AGENT_EXISTS},
		{identity.ErrTeamNotFound, connect.CodeNotFound, errorv1.Reason_REASON_TEAM_NOT_FOUND},
		{identity.ErrTeamExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_TEAM_EXISTS},
		{identity.ErrTeamIDUsed, connect.CodeAlreadyExists, errorv1.Reason_REASON_TEAM_EXISTS},
		{identity.ErrTeamNotEmpty, connect.CodeFailedPrecondition, errorv1.Reason_REASON_TEAM_NOT_EMPTY},
		{identity.ErrKeyNotFound, connect.CodeNotFound, errorv1.Reason_REASON_KEY_NOT_FOUND},
		{identity.ErrKeyExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_KEY_EXISTS},
		{identity.ErrUserNotFound, connect.CodeNotFound, errorv1.Reason_REASON_USER_NOT_FOUND},
		{identity.ErrUserExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_USER_EXISTS},
		{identity.ErrIssuerNotFound, connect.CodeNotFound, errorv1.Reason_REASON_ISSUER_NOT_FOUND},
		{identity.ErrIssuerExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_ISSUER_EXISTS},
		{identity.ErrIssuerIDUsed, connect.CodeAlreadyExists, errorv1.Reason_REASON_ISSUER_EXISTS},
		{identity.ErrIssuerURLUsed, connect.CodeAlreadyExists, errorv1.Reason_REASON_ISSUER_EXISTS},
		{identity.ErrIssuerHasUsers, connect.CodeFailedPrecondition, errorv1.Reason_REASON_ISSUER_HAS_USERS},
		{identity.ErrRoleNotHeld, connect.CodeNotFound, errorv1.Reason_REASON_ROLE_NOT_HELD},
		{identity.ErrLastRole, connect.CodeFailedPrecondition, errorv1.Reason_REASON_LAST_ROLE},
		{registry.ErrAgentIDUsed, connect.CodeAlreadyExists, errorv1.Reason_REASON_AGENT_EXISTS},
		{registry.ErrAgentHasKeys, connect.CodeFailedPrecondition, errorv1.Reason_REASON_AGENT_HAS_KEYS},
		{audit.ErrEventNotFound, connect.CodeNotFound, errorv1.Reason_REASON_EVENT_NOT_FOUND},
		{audit.ErrQueryTooSlow, connect.CodeInvalidArgument, errorv1.Reason_REASON_INVALID_FILTER},
		{audit.ErrTooManyTails, connect.CodeResourceExhausted, errorv1.Reason_REASON_BUSY},
		{identity.ErrEtagMismatch, connect.CodeAborted, errorv1.Reason_REASON_ETAG_MISMATCH},
		{registry.ErrEtagMismatch, connect.CodeAborted, errorv1.Reason_REASON_ETAG_MISMATCH},
		{errPageToken, connect.CodeInvalidArgument, errorv1.Reason_REASON_INVALID_PAGE_TOKEN},
		{errShutdown, connect.CodeUnavailable, errorv1.Reason_REASON_SHUTTING_DOWN},
		{interceptor.ErrRecordUnavailable, connect.CodeUnavailable, errorv1.Reason_REASON_RECORD_UNAVAILABLE},
	}...)
}

// toConnect maps every error that a handler returns. What it does not know is a
// fault of the gateway: the cause is logged and never sent.
func (a *api) toConnect(ctx context.Context, err error) *connect.Error {
	if known := withValues(err); known != nil {
		return known
	}
	for _, m := range mappings() {
		if errors.Is(err, m.err) {
			// The sentinel's text alone: what wraps it may name what the caller may not see.
			return fault.New(m.code, m.reason, m.err.Error(), nil)
		}
	}
	_, databaseDown := errors.AsType[unavailable](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled):
		return fault.New(connect.CodeCanceled, errorv1.Reason_REASON_REQUEST_TIMEOUT, "the caller left", nil)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(connect.CodeDeadlineExceeded, errorv1.Reason_REASON_REQUEST_TIMEOUT, "the caller's deadline has passed", nil)
	case databaseDown, errors.Is(err, context.DeadlineExceeded):
		a.log.LogAttrs(ctx, slog.LevelWarn, "database unavailable", slog.Any("error", err))
		return fault.New(connect.CodeUnavailable, errorv1.Reason_REASON_DATABASE_UNAVAILABLE,
			"the database does not answer; try again in a moment", nil)
	}
	a.log.LogAttrs(ctx, slog.LevelError, "management call failed", slog.Any("error", err))
	return interceptor.Internal()
}

// withValues maps the errors that carry values; nil for all others.
func withValues(err error) *connect.Error {
	if known := policyFault(err); known != nil {
		return known
	}
	const invalid = connect.CodeInvalidArgument
	if e, ok := errors.AsType[*hiddenError](err); ok {
		for _, m := range mappings() {
			if errors.Is(e.cause, m.err) {
				return fault.New(m.code, m.reason, e.Error(), map[string]string{"resource": e.resource})
			}
		}
	}
	if e, ok := errors.AsType[*deniedError](err); ok {
		return fault.New(connect.CodePermissionDenied, errorv1.Reason_REASON_PERMISSION_DENIED, e.Error(),
			withDecision(map[string]string{"action": e.action, "resource": e.resource}, e.decision))
	}
	if e, ok := errors.AsType[*invalidError](err); ok {
		return badField(e.field, e.problem)
	}
	if e, ok := errors.AsType[*registry.InvalidError](err); ok {
		return badField(e.Field, e.Problem)
	}
	if e, ok := errors.AsType[*identity.InvalidError](err); ok {
		return badField(e.Field, e.Problem)
	}
	if e, ok := errors.AsType[*maskError](err); ok {
		return fault.New(invalid, errorv1.Reason_REASON_INVALID_UPDATE_MASK, e.Error(), map[string]string{"path": e.path})
	}
	if e, ok := errors.AsType[*filter.Error](err); ok {
		return fault.New(invalid, errorv1.Reason_REASON_INVALID_FILTER, e.Error(),
			map[string]string{"field": e.Field, "position": strconv.Itoa(e.Pos)})
	}
	if e, ok := errors.AsType[*registry.OrderError](err); ok {
		return fault.New(invalid, errorv1.Reason_REASON_INVALID_ORDER, e.Error(), nil)
	}
	if e, ok := errors.AsType[*registry.CardError](err); ok {
		return fault.New(invalid, errorv1.Reason_REASON_CARD_INVALID, e.Error(), map[string]string{"problem": e.Problem})
	}
	if e, ok := errors.AsType[*registry.AddressError](err); ok {
		return fault.New(invalid, errorv1.Reason_REASON_ADDRESS_FORBIDDEN, e.Error(),
			map[string]string{"field": e.Field, "url": e.URL, "problem": e.Err.Error()})
	}
	if e, ok := errors.AsType[*registry.NameTakenError](err); ok {
		return fault.New(connect.CodeAlreadyExists, errorv1.Reason_REASON_AGENT_EXISTS, e.Error(), map[string]string{"name": e.Name})
	}
	if e, ok := errors.AsType[*identity.CertificateNameError](err); ok {
		return fault.New(connect.CodeAlreadyExists, errorv1.Reason_REASON_CERTIFICATE_NAME_USED, e.Error(), map[string]string{"name": e.Name})
	}
	if e, ok := errors.AsType[*registry.StateError](err); ok {
		return fault.New(connect.CodeFailedPrecondition, errorv1.Reason_REASON_AGENT_STATE, e.Error(), map[string]string{"state": string(e.State)})
	}
	if e, ok := errors.AsType[*takenError](err); ok {
		return fault.New(connect.CodeAlreadyExists, errorv1.Reason_REASON_TASK_OWNED, e.Error(), e.metadata())
	}
	if e, ok := errors.AsType[*unownedError](err); ok {
		return fault.New(connect.CodeNotFound, errorv1.Reason_REASON_TASK_NOT_FOUND, e.Error(), map[string]string{"resource": e.agent})
	}
	if errors.Is(err, registry.ErrCardUnavailable) {
		// The text names the address, which the caller gave, and what it answered.
		return fault.New(connect.CodeFailedPrecondition, errorv1.Reason_REASON_CARD_UNAVAILABLE, err.Error(), nil)
	}
	return nil
}

// withDecision adds how a denial can be explained.
func withDecision(metadata map[string]string, decision string) map[string]string {
	if decision != "" {
		metadata["decision"] = decision
	}
	return metadata
}

func badField(field, problem string) *connect.Error {
	return fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_INVALID_ARGUMENT, field+": "+problem,
		map[string]string{"field": field, "problem": problem})
}
