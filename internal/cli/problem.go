package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// failure is an error of a command that was understood.
type failure struct{ err error }

// Error returns the text of the cause.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// usageError is a command that was not understood, found by the command itself.
type usageError struct{ text string }

// Error returns what was wrong.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// doing says what could not be done. It is the head of what the user reads.
type doing struct {
	what string
	err  error
}

// Error returns both.
func (d *doing) Error() string { return d.what + ": " + d.err.Error() }

// Unwrap returns the cause.
func (d *doing) Unwrap() error { return d.err }

// doingf says what could not be done; nil when err is.
func doingf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &doing{what: fmt.Sprintf(format, args...), err: err}
}

// problem is an error as it is shown.
type problem struct {
	text   string
	fields []string // "field: description"
	facts  []string // "name: value"
	next   []string
}

// report prints what went wrong and what to do next.
func (p *program) report(cmd *cobra.Command, err error) {
	var b bytes.Buffer
	failed, ok := errors.AsType[*failure](err)
	if !ok {
		fmt.Fprintf(&b, "error: %s\n", safeText(err.Error()))
		fmt.Fprintf(&b, "  usage   %s\n", cmd.UseLine())
		fmt.Fprintf(&b, "  next    see: %s --help\n", cmd.CommandPath())
		_, _ = p.err.Write(b.Bytes())
		return
	}
	pr := explain(failed.err)
	fmt.Fprintf(&b, "error: %s\n", pr.text)
	for _, f := range pr.fields {
		fmt.Fprintf(&b, "  field   %s\n", printable(f))
	}
	for _, f := range pr.facts {
		fmt.Fprintf(&b, "  %s\n", printable(f))
	}
	for i, n := range pr.next {
		head := "next"
		if i > 0 {
			head = "    "
		}
		fmt.Fprintf(&b, "  %s    %s\n", head, printable(n))
	}
	_, _ = p.err.Write(b.Bytes())
}

// explain finds the kind of an error.
func explain(err error) problem {
	what, cause := "", err
	if d, ok := errors.AsType[*doing](err); ok {
		what, cause = d.what+": ", d.err
	}
	s := settings{}
	if c, ok := errors.AsType[*gatewayError](err); ok {
		s = c.settings
	}
	pr := problem{}
	reply, isReply := errors.AsType[*replyError](cause)
	remote, isRemote := errors.AsType[*connect.Error](cause)
	left, isLeft := errors.AsType[*interruptedError](cause)
	switch {
	case isLeft:
		pr.text, pr.next = left.Error(), left.next()
	case isReply:
		pr = explainReply(reply)
	case isRemote:
		pr = explainConnect(remote, s)
	default:
		pr.text = cause.Error()
		if pr.next = nextForTransport(cause, s); pr.next != nil {
			pr.text = transportText(cause)
		}
	}
	pr.text = printable(what + pr.text)
	if s.withheld != "" && slices.Contains(credentialReasons(), pr.reason()) {
		pr.facts = append(pr.facts, "note    "+s.withheld)
	}
	return pr
}

func credentialReasons() []string {
	return []string{"CREDENTIALS_MISSING", "CREDENTIALS_INVALID", "PERMISSION_DENIED"}
}

func (pr problem) reason() string {
	for _, f := range pr.facts {
		if r, ok := strings.CutPrefix(f, "reason  "); ok {
			r, _, _ = strings.Cut(r, " ")
			return r
		}
	}
	return ""
}

// explainReply explains an error of the data plane.
func explainReply(e *replyError) problem {
	pr := problem{text: e.message}
	if e.reason != "" {
		pr.facts = append(pr.facts, fmt.Sprintf("reason  %s (code %d)", printable(e.reason), e.code))
	} else {
		pr.facts = append(pr.facts, fmt.Sprintf("code    %d", e.code))
	}
	pr.fields = e.fields
	pr.facts = append(pr.facts, sortedFacts(e.metadata)...)
	pr.next = nextSteps(cmp.Or(e.reason, reasonOfCode(e.code)), e.metadata)
	return pr
}

// explainConnect explains an error of the management plane, or of what stands where
// it should be.
func explainConnect(e *connect.Error, s settings) problem {
	if next := nextForTransport(e, s); next != nil {
		return problem{text: transportText(e), next: next}
	}
	pr := problem{text: e.Message()}
	reason := ""
	var metadata map[string]string
	for _, d := range e.Details() {
		value, err := d.Value()
		if err != nil {
			continue // of a newer gateway
		}
		switch v := value.(type) {
		case *errdetails.ErrorInfo:
			reason, metadata = v.GetReason(), v.GetMetadata()
		case *errdetails.BadRequest:
			for _, f := range v.GetFieldViolations() {
				pr.fields = append(pr.fields, printable(f.GetField()+": "+f.GetDescription()))
			}
		case *validate.Violations:
			for _, f := range v.GetViolations() {
				pr.fields = append(pr.fields, printable(fieldPath(f.GetField())+": "+f.GetMessage()))
			}
		}
	}
	slices.Sort(pr.fields)
	pr.fields = slices.Compact(pr.fields)
	if reason != "" {
		pr.facts = append(pr.facts, "reason  "+printable(reason))
	} else {
		pr.facts = append(pr.facts, "code    "+e.Code().String())
	}
	if len(pr.fields) > 0 {
		// The fields say it all, and better.
		if strings.HasPrefix(pr.text, "validation error") {
			pr.text = "the gateway does not take these values"
		}
		metadata = maps.Clone(metadata)
		maps.DeleteFunc(metadata, func(name, _ string) bool {
			return name == "field" || name == "problem" || name == "rule"
		})
	}
	pr.facts = append(pr.facts, sortedFacts(metadata)...)
	if pr.next = nextSteps(reason, metadata); pr.next == nil && reason == "" {
		pr.next = nextForCode(e.Code(), s)
	}
	return pr
}

func fieldPath(path *validate.FieldPath) string {
	var b strings.Builder
	for _, e := range path.GetElements() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(e.GetFieldName())
		if _, ok := e.GetSubscript().(*validate.FieldPathElement_Index); ok {
			fmt.Fprintf(&b, "[%d]", e.GetIndex())
		}
	}
	return b.String()
}

func sortedFacts(metadata map[string]string) []string {
	var facts []string
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		facts = append(facts, fmt.Sprintf("%-7s %s", printable(name), printable(metadata[name])))
	}
	return facts
}

// transportText is the innermost cause: what stands around it says the same address
// several times.
func transportText(err error) string {
	if e, ok := errors.AsType[*redirectError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*notLetInError](err); ok {
		return e.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e.Message()
	}
	return err.Error()
}

// nextForTransport returns nil when it is no error of the network.
func nextForTransport(err error, s settings) []string {
	server := cmp.Or(s.server, "the gateway")
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var redirect *redirectError
	var notLetIn *notLetInError
	switch {
	case errors.As(err, &notLetIn):
		return notLetIn.next()
	case errors.As(err, &redirect):
		return []string{"the key goes to " + server + " only; if the gateway has another address, name that with --server or SIGNALBOX_SERVER"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return []string{
			fmt.Sprintf("nothing listens at %s: is the gateway running? Start one with: signalbox serve", server),
			"or name another one with --server or SIGNALBOX_SERVER",
		}
	case errors.As(err, &dns):
		return []string{fmt.Sprintf("the name %q is not known here: check --server or SIGNALBOX_SERVER", dns.Name)}
	case errors.As(err, &unknownCA), errors.As(err, &wrongHost):
		return []string{"the certificate of " + server + " is not trusted here: add its CA to this machine (SSL_CERT_FILE)"}
	case errors.Is(err, context.DeadlineExceeded):
		return []string{server + " did not answer in time: look at its log and at " + server + "/readyz"}
	case errors.Is(err, context.Canceled):
		return []string{"the command was interrupted; what had been sent may have been done"}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "listen" {
			return nextForListening(op)
		}
		return []string{"check the network between here and " + server}
	}
	return nil
}

// nextForListening is for a gateway that cannot have its address.
func nextForListening(err error) []string {
	next := []string{"choose another address with --listen (or --management-listen, if it is that one)"}
	if errors.Is(err, syscall.EADDRINUSE) {
		next = append(next, "or stop what listens there, which may be another gateway")
	}
	return next
}

// nextForCode is for answers without a reason, which no gateway of ours gives.
func nextForCode(code connect.Code, s settings) []string {
	switch code { //nolint:exhaustive // the others have no common cause
	case connect.CodeUnimplemented, connect.CodeUnknown, connect.CodeInternal, connect.CodeUnavailable:
		return []string{fmt.Sprintf("is %s the address of a Signalbox gateway, and of this version or a newer one?", cmp.Or(s.server, "this"))}
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return []string{"something before the gateway refused the call; check --server and --key"}
	}
	return nil
}
