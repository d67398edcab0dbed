package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
)

func remote(t *testing.T, code connect.Code, text string, details ...proto.Message) error {
	t.Helper()
	err := connect.NewError(code, errors.New(text))
	for _, d := range details {
		detail, e := connect.NewErrorDetail(d)
		if e != nil {
			t.Fatal(e)
		}
		err.AddDetail(detail)
	}
	return err
}

func TestReport_SaysWhatWhyAndWhatNext(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	at := func(err error) error {
		return &gatewayError{settings: settings{server: "http://127.0.0.1:8080"}, err: err}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{
			name: "a reason",
			err: at(doingf(remote(t, connect.CodeAlreadyExists, "an agent of this name exists",
				&errdetails.ErrorInfo{Reason: "AGENT_EXISTS", Domain: "signalbox.dev"}), "create agent %s", "echo")),
			want: `error: create agent echo: an agent of this name exists
  reason  AGENT_EXISTS
  next    choose another name, or change the agent: signalbox agents update NAME
`,
		},
		{
			name: "fields",
			err: at(doingf(remote(t, connect.CodeInvalidArgument, "validation error: two",
				&errdetails.ErrorInfo{Reason: "INVALID_ARGUMENT", Metadata: map[string]string{"field": "b", "rule": "x", "other": "kept"}},
				&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
					{Field: "b", Description: "second"}, {Field: "a", Description: "first"},
				}}), "create team x")),
			want: `error: create team x: the gateway does not take these values
  field   a: first
  field   b: second
  reason  INVALID_ARGUMENT
  other   kept
`,
		},
		{
			name: "a key that was not sent",
			err: &gatewayError{
				settings: settings{server: "http://gw.example", withheld: "the key in x was not sent: it is for y"},
				err:      remote(t, connect.CodeUnauthenticated, "no credential", &errdetails.ErrorInfo{Reason: "CREDENTIALS_MISSING"}),
			},
			want: `error: no credential
  reason  CREDENTIALS_MISSING
  note    the key in x was not sent: it is for y
  next    give a key with --key-file FILE or SIGNALBOX_KEY, or write it to ~/.config/signalbox/config.yaml
          a key is made with: signalbox keys create --team TEAM --out FILE
`,
		},
		{
			name: "nobody there",
			err:  at(doingf(connect.NewError(connect.CodeUnavailable, refused), "list agents")),
			want: `error: list agents: dial tcp: connect: connection refused
  next    nothing listens at http://127.0.0.1:8080: is the gateway running? Start one with: signalbox serve
          or name another one with --server or SIGNALBOX_SERVER
`,
		},
		{
			name: "an address that somebody has",
			err: doingf(fmt.Errorf("listen on h: %w",
				&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}), "start the gateway"),
			want: `error: start the gateway: listen tcp: bind: address already in use
  next    choose another address with --listen (or --management-listen, if it is that one)
          or stop what listens there, which may be another gateway
`,
		},
		{
			name: "an address that is not ours",
			err:  doingf(&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}, "start the gateway"),
			want: `error: start the gateway: listen tcp: bind: cannot assign requested address
  next    choose another address with --listen (or --management-listen, if it is that one)
`,
		},
		{
			name: "somebody else there",
			err:  at(doingf(remote(t, connect.CodeUnknown, "HTTP 502"), "list agents")),
			want: `error: list agents: HTTP 502
  code    unknown
  next    is http://127.0.0.1:8080 the address of a Signalbox gateway, and of this version or a newer one?
`,
		},
		{
			name: "an error of the data plane, which cannot write to the terminal",
			err: at(doingf(fmt.Errorf("call: %w", &replyError{
				code: -31429, message: "no\x1b[2J budget\nleft", reason: "BUDGET_EXHAUSTED",
				metadata: map[string]string{"resets_at": "noon", "budget": "b"}, fields: []string{"message.parts: empty"},
			}), "call echo")),
			want: `error: call echo: no[2J budget left
  field   message.parts: empty
  reason  BUDGET_EXHAUSTED (code -31429)
  budget  b
  resets_at noon
`,
		},
		{
			name: "an error of a 0.3 agent, which has only a code",
			err:  at(doingf(&replyError{code: -32001, message: "Task not found"}, "call echo")),
			want: `error: call echo: Task not found
  code    -32001
  next    tasks belong to the key that began them: is it the same --key, and the same agent?
          one that was begun past the gateway is given to a key with: signalbox tasks adopt AGENT TASK --owner TEAM/KEY
`,
		},
		{
			name: "anything else",
			err:  doingf(errors.New("no space left"), "start the gateway"),
			want: "error: start the gateway: no space left\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, errs := quiet(outputTable)
			p.report(&cobra.Command{Use: "signalbox"}, &failure{err: tt.err})
			if diff := cmp.Diff(tt.want, errs.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever adds a reason decides here whether there is something to do about it.
func TestNextSteps_KnowsEveryReason(t *testing.T) {
	// Of these the message says all.
	said := map[string]bool{
		"UNSPECIFIED": true, "INVALID_ARGUMENT": true, "INVALID_ORDER": true, "INVALID_UPDATE_MASK": true, "MALFORMED_REQUEST": true,
		"CONTENT_TYPE_UNSUPPORTED": true, "REQUEST_TIMEOUT": true, "NOT_FOUND": true, "METHOD_NOT_ALLOWED": true, "PUSH_ADDRESS_FORBIDDEN": true,
		"PARSE_ERROR": true, "INVALID_REQUEST": true, "METHOD_NOT_FOUND": true, "INVALID_PARAMS": true, "CONTENT_TYPE_NOT_SUPPORTED": true, "CALLER_LEFT": true, "PUSH_CONFIG_NOT_DELETED": true,
	}
	for _, name := range errorv1.Reason_name {
		reason := name[len("REASON_"):]
		if has := nextSteps(reason, nil) != nil; has == said[reason] {
			t.Errorf("reason %s: has a next step: %v, want %v", reason, has, !said[reason])
		}
	}
}
