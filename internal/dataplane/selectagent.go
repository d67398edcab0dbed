package dataplane

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// maxAgentName is how long a name or alias of an agent can be.
const maxAgentName = 200

// agentMetadata is the metadata that names the agent of a gRPC call.
const agentMetadata = "X-Signalbox-Agent"

// selectAgent reads a call of gRPC, whose path names no agent, and returns the name
// that its tenant, metadata and authority give. Where several are given they must agree.
func (c *call) selectAgent() (string, *fault) {
	if f := c.readGRPC(); f != nil {
		return "", f
	}
	name, from := "", ""
	for _, given := range []struct{ name, from string }{
		{c.params.Tenant, "tenant"},
		{c.x.Header().Get(agentMetadata), "metadata x-signalbox-agent"},
		{c.authorityAgent(), "authority"},
	} {
		switch {
		case given.name == "":
		case name == "":
			name, from = given.name, given.from
		case name != given.name:
			return "", invalidParams(fmt.Sprintf("%s names agent %.63q and %s names %.63q; name one agent",
				from, name, given.from, given.name))
		}
	}
	if len(name) > maxAgentName {
		return "", agentNotFound()
	}
	if name == "" {
		return "", invalidParams(`the call names no agent; give its name as tenant (A2A 1.0) or in metadata "x-signalbox-agent"`)
	}
	return name, nil
}

// authorityAgent returns the agent that the authority of a call names: the label before
// the configured suffix, or a whole authority that is no host name of a network.
func (c *call) authorityAgent() string {
	host := c.x.Host()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	if suffix := c.p.cfg.AuthoritySuffix; suffix != "" {
		if name, ok := strings.CutSuffix(host, suffix); ok && !strings.Contains(name, ".") {
			return name
		}
	}
	return ""
}

// readGRPC reads the one message of a call of gRPC.
func (c *call) readGRPC() *fault {
	h := c.x.Header()
	switch {
	case c.x.ProtoMajor() < 2:
		return &fault{
			status: http.StatusHTTPVersionNotSupported, code: jsonrpc.CodeInvalidRequest, reason: "INVALID_REQUEST", outcome: audit.Refused,
			message: "gRPC needs HTTP/2",
		}
	case c.x.Method() != http.MethodPost:
		return methodNotAllowed(c.x.Method(), http.MethodPost)
	}
	if err := grpc.CheckContentType(h.Get("Content-Type")); err != nil {
		return &fault{
			status: http.StatusUnsupportedMediaType, code: codeContentType, reason: "CONTENT_TYPE_NOT_SUPPORTED",
			domain: domainProtocol, outcome: audit.Refused, message: err.Error(),
		}
	}
	if c.entry.op == 0 {
		return &fault{
			code: jsonrpc.CodeMethodNotFound, reason: jsonrpc.ReasonMethodNotFound, outcome: audit.Refused,
			message: fmt.Sprintf("%.100q is no method of A2A %s", c.x.Path(), c.down.Version),
		}
	}
	c.understood(c.entry.op, c.down.Version)
	if f := c.checkVersion("this", "service"); f != nil {
		return f
	}
	if f := c.readBody(); f != nil {
		return f
	}
	message, err := grpc.ReadUnary(grpc.NewReader(bytes.NewReader(c.body), grpc.Encoding(h), int(c.p.limits.RequestBytes)))
	if err != nil {
		e := grpc.RequestError(err)
		// Whoever may try again must know with what.
		c.x.ReplyHeader().Set("Grpc-Accept-Encoding", grpc.AcceptedEncodings)
		return &fault{code: int(e.Code), reason: e.Reason, message: e.Message, grpc: e.GRPCStatus, outcome: audit.Refused}
	}
	params, rpcErr := pb.ParseCall(c.down.Version, c.op, message)
	if rpcErr != nil {
		return protocolFault(rpcErr)
	}
	c.payload = message
	c.asks(params)
	return nil
}
