package api

import (
	"errors"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
)

// policyMappings are the rows of the table of errors that policies have.
func policyMappings() []mapping {
	return []mapping{
		{admin.ErrPolicyNotFound, connect.CodeNotFound, errorv1.Reason_REASON_POLICY_NOT_FOUND},
		{admin.ErrVersionNotFound, connect.CodeNotFound, errorv1.Reason_REASON_POLICY_NOT_FOUND},
		{admin.ErrPolicyShipped, connect.CodeFailedPrecondition, errorv1.Reason_REASON_POLICY_SHIPPED},
		{admin.ErrGrantNotFound, connect.CodeNotFound, errorv1.Reason_REASON_GRANT_NOT_FOUND},
		{admin.ErrGrantExists, connect.CodeAlreadyExists, errorv1.Reason_REASON_GRANT_EXISTS},
		{admin.ErrReplayNotFound, connect.CodeNotFound, errorv1.Reason_REASON_REPLAY_NOT_FOUND},
		{admin.ErrReplayMismatch, connect.CodeFailedPrecondition, errorv1.Reason_REASON_REPLAY_MISMATCH},
		{admin.ErrNoDecision, connect.CodeNotFound, errorv1.Reason_REASON_DECISION_NOT_FOUND},
		{admin.ErrEtagMismatch, connect.CodeAborted, errorv1.Reason_REASON_ETAG_MISMATCH},
		{admin.ErrConfigurationBusy, connect.CodeResourceExhausted, errorv1.Reason_REASON_BUSY},
	}
}

// replayRetry is when a caller may try again whose replay was not begun, in seconds.
const replayRetry = 10

// policyFault maps the errors of policies that carry values; nil for all others.
func policyFault(err error) *connect.Error {
	if e, ok := errors.AsType[*policy.MistakesError](err); ok && len(e.Mistakes) > 0 {
		first := e.Mistakes[0]
		out := fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_POLICY_INVALID, first.Excerpt(), map[string]string{
			"line": strconv.Itoa(first.Line), "column": strconv.Itoa(first.Column), "problem": first.Text, "source": strings.TrimSpace(first.Source),
			"mistakes": strconv.Itoa(len(e.Mistakes)),
		})
		if detail, err := connect.NewErrorDetail(mistakesToProto(e.Mistakes)); err == nil {
			out.AddDetail(detail)
		}
		return out
	}
	if e, ok := errors.AsType[*admin.InvalidError](err); ok {
		return badField(e.Field, e.Problem)
	}
	if e, ok := errors.AsType[*admin.UnknownPrincipalError](err); ok {
		return fault.New(connect.CodeFailedPrecondition, errorv1.Reason_REASON_UNKNOWN_PRINCIPAL, e.Error(), map[string]string{"principal": e.Principal})
	}
	if e, ok := errors.AsType[*admin.WithoutEffectError](err); ok {
		return fault.New(connect.CodeFailedPrecondition, errorv1.Reason_REASON_GRANT_WITHOUT_EFFECT, e.Error(),
			map[string]string{"statements": strings.Join(e.Statements[:min(len(e.Statements), maxNamed)], ", ")})
	}
	switch {
	case errors.Is(err, policy.ErrLockedOut):
		return fault.New(connect.CodeFailedPrecondition, errorv1.Reason_REASON_LAST_ADMIN_LOCKED_OUT, err.Error(), nil)
	case errors.Is(err, admin.ErrTooManyReplays):
		return fault.New(connect.CodeResourceExhausted, errorv1.Reason_REASON_BUSY, admin.ErrTooManyReplays.Error(),
			map[string]string{"retry_after_s": strconv.Itoa(replayRetry)})
	}
	return nil
}

// maxNamed bounds how many statements an error names.
const maxNamed = 20
