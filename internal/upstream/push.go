package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

const (
	// maxPushReply bounds an answer about push configs.
	maxPushReply = 1 << 20
	// maxPushPages bounds how long a list of push configs is read on.
	maxPushPages = 100
)

// pushCallID is the id of every call of JSON-RPC: each has a connection, or a stream of
// one, of its own.
var pushCallID = []byte(`"signalbox"`)

// PushConfigs lists and deletes push configs at agents, in the dialect of each.
type PushConfigs struct {
	// Transport is required. Agents of gRPC need one such as [Transport].
	Transport http.RoundTripper
	// Agents shows the credentials of agents; nil means that nobody does.
	Agents *Agents
}

var _ push.Agents = (*PushConfigs)(nil)

// DeletePushConfig deletes a config of a task.
func (p *PushConfigs) DeletePushConfig(ctx context.Context, at push.Target, taskID, configID string) error {
	asked := append(jsonrpc.AppendString([]byte(`{"taskId":`), taskID), `,"id":`...)
	asked = append(jsonrpc.AppendString(asked, configID), '}')
	_, err := p.call(ctx, at, a2a.DeletePushConfig, asked)
	return err
}

// ListPushConfigs returns the ids of all configs of a task.
func (p *PushConfigs) ListPushConfigs(ctx context.Context, at push.Target, taskID string) ([]string, error) {
	form := translate.FormOf(at.Dialect)
	var ids []string
	token := ""
	for range maxPushPages {
		asked := jsonrpc.AppendString([]byte(`{"taskId":`), taskID)
		if token != "" {
			asked = jsonrpc.AppendString(append(asked, `,"pageToken":`...), token)
		}
		result, err := p.call(ctx, at, a2a.ListPushConfigs, append(asked, '}'))
		if err != nil {
			return nil, err
		}
		if result, err = translate.Result(a2a.ListPushConfigs, form, translate.JSON10, result); err != nil {
			return nil, fmt.Errorf("read the agent's push configs: %w", err)
		}
		page, err := a2a.ParsePushConfigList(a2a.V10, result)
		if err != nil {
			return nil, fmt.Errorf("read the agent's push configs: %w", err)
		}
		ids = append(ids, page.IDs...)
		// A request of JSON-RPC 0.3 cannot ask for a page.
		if page.NextPageToken == "" || form == translate.JSON03 {
			return ids, nil
		}
		token = page.NextPageToken
	}
	return nil, fmt.Errorf("the agent's list of push configs has more than %d pages", maxPushPages)
}

// call makes a call with a request in the canonical form. Its result is in the agent's.
func (p *PushConfigs) call(ctx context.Context, at push.Target, op a2a.Operation, canonical []byte) ([]byte, error) {
	payload, err := translate.Request(op, translate.JSON10, translate.FormOf(at.Dialect), canonical)
	if err != nil {
		return nil, fmt.Errorf("make the request for the agent: %w", err)
	}
	req, err := NewRequest(at.Dialect, op, at.Tenant, pushCallID, payload)
	if err != nil {
		return nil, fmt.Errorf("make the request for the agent: %w", err)
	}
	way := p.Transport
	if at.Agent != nil && p.Agents != nil {
		way = p.Agents.For(at.Agent)
	}
	resp, err := way.RoundTrip(req.HTTP(ctx, at.URL, http.Header{}))
	if err != nil {
		return nil, plainly(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPushReply+1))
	if err != nil {
		return nil, plainly(ctx, err)
	}
	if len(body) > maxPushReply {
		return nil, fmt.Errorf("the agent's reply is larger than %d bytes", maxPushReply)
	}
	result, refused, err := req.ReadReply(resp, body, maxPushReply)
	if err != nil {
		return nil, &notReplyError{statusError{resp.StatusCode}}
	}
	if refused != nil {
		return nil, pushError(req, resp, body)
	}
	return result, nil
}

// pushError is what the agent refused a call with. It is read as if nobody knew what was
// asked for: then an error is that a task is not found, or that push notifications are
// not supported, only when the agent says so, and not for a mere HTTP 404 or gRPC
// UNIMPLEMENTED, which come from proxies and from servers without the method as well.
// Who takes those for an answer forgets a config that the agent still has.
func pushError(req *Request, resp *http.Response, body []byte) error {
	unasked := *req
	unasked.Op = 0
	_, e, err := unasked.ReadReply(resp, body, maxPushReply)
	switch {
	case err != nil || e == nil:
		return &notReplyError{statusError{resp.StatusCode}}
	case e.Code == a2a.CodeTaskNotFound || e.Code == a2a.CodePushNotSupported:
		return push.ErrNoConfig
	}
	return &push.RPCError{Code: e.Code, Message: e.Message}
}

// notReplyError says that something else came than a reply that can be read, and nothing
// of it.
type notReplyError struct{ statusError }

// Error returns the status that it came with.
func (e *notReplyError) Error() string {
	return e.statusError.Error() + " without a reply of A2A that can be read"
}
