package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

const (
	// maxPushReply bounds an answer about push configs.
	maxPushReply = 1 << 20
	// maxPushPages bounds how long a list of push configs is read on.
	maxPushPages = 100
)

// The errors of A2A that say that there is nothing to delete.
const (
	codeTaskNotFound     = -32001
	codePushNotSupported = -32003
)

// pushCallID is the id of every call: each has a connection of its own while it runs.
var pushCallID = []byte(`"signalbox"`)

// PushConfigs lists and deletes push configs at agents.
type PushConfigs struct {
	// Transport is required.
	Transport http.RoundTripper
}

var _ push.Agents = (*PushConfigs)(nil)

// DeletePushConfig deletes a config of a task.
func (p *PushConfigs) DeletePushConfig(ctx context.Context, at push.Target, taskID, configID string) error {
	params := pushParams(at, taskID)
	params = append(params, pushMember(at.Version, `,"id":`, `,"pushNotificationConfigId":`)...)
	params = jsonrpc.AppendString(params, configID)
	_, err := p.call(ctx, at, a2a.DeletePushConfig, append(params, '}'))
	return err
}

// ListPushConfigs returns the ids of all configs of a task.
func (p *PushConfigs) ListPushConfigs(ctx context.Context, at push.Target, taskID string) ([]string, error) {
	var ids []string
	token := ""
	for range maxPushPages {
		params := pushParams(at, taskID)
		if token != "" {
			params = append(params, `,"pageToken":`...)
			params = jsonrpc.AppendString(params, token)
		}
		result, err := p.call(ctx, at, a2a.ListPushConfigs, append(params, '}'))
		if err != nil {
			return nil, err
		}
		page, err := a2a.ParsePushConfigList(at.Version, result)
		if err != nil {
			return nil, fmt.Errorf("read the agent's push configs: %w", err)
		}
		ids = append(ids, page.IDs...)
		if page.NextPageToken == "" || at.Version == a2a.V03 {
			return ids, nil
		}
		token = page.NextPageToken
	}
	return nil, fmt.Errorf("the agent's list of push configs has more than %d pages", maxPushPages)
}

// pushParams begins the params of a call about a task.
func pushParams(at push.Target, taskID string) []byte {
	params := append([]byte{}, pushMember(at.Version, `{"taskId":`, `{"id":`)...)
	params = jsonrpc.AppendString(params, taskID)
	if at.Tenant != "" && at.Version == a2a.V10 {
		params = append(params, `,"tenant":`...)
		params = jsonrpc.AppendString(params, at.Tenant)
	}
	return params
}

func pushMember(v a2a.Version, v10, v03 string) string {
	if v == a2a.V03 {
		return v03
	}
	return v10
}

// call makes a call and returns its result.
func (p *PushConfigs) call(ctx context.Context, at push.Target, op a2a.Operation, params []byte) ([]byte, error) {
	body := append([]byte(`{"jsonrpc":"2.0","id":`), pushCallID...)
	body = append(body, `,"method":`...)
	body = jsonrpc.AppendString(body, a2a.MethodName(op, at.Version))
	body = append(append(append(body, `,"params":`...), params...), '}')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request for the agent: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "signalbox")
	req.Header.Set("A2A-Version", at.Version.String())
	resp, err := p.Transport.RoundTrip(req)
	if err != nil {
		return nil, plainly(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxPushReply+1))
	if err != nil {
		return nil, plainly(ctx, err)
	}
	if len(read) > maxPushReply {
		return nil, fmt.Errorf("the agent's reply is larger than %d bytes", maxPushReply)
	}
	reply, err := jsonrpc.ParseResponse(read)
	if err != nil {
		return nil, &notReplyError{statusError{resp.StatusCode}}
	}
	if reply.Error != nil {
		if reply.Error.Code == codeTaskNotFound || reply.Error.Code == codePushNotSupported {
			return nil, push.ErrNoConfig
		}
		return nil, &push.RPCError{Code: reply.Error.Code, Message: reply.Error.Message}
	}
	if !jsonrpc.SameID(reply.ID, pushCallID) {
		return nil, errors.New("the agent's reply carries the id of another request")
	}
	return reply.Result, nil
}

// notReplyError says that something else came than a JSON-RPC reply, and nothing of it.
type notReplyError struct{ statusError }

// Error returns the status that it came with.
func (e *notReplyError) Error() string { return e.statusError.Error() + " without a JSON-RPC reply" }
