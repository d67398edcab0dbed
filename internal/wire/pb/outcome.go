package pb

import (
	"bytes"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ParseResult reads in a result or an item of a stream what [a2a.ParseResult] reads in their JSON. Of operations
// that are not about a task's progress it reads nothing, and the kind is [a2a.Other].
func ParseResult(v a2a.Version, op a2a.Operation, m Message, payload []byte) (a2a.Outcome, error) {
	switch op {
	case a2a.SendMessage, a2a.SendStreamingMessage, a2a.SubscribeToTask, a2a.GetTask, a2a.CancelTask:
	default:
		return a2a.Outcome{Kind: a2a.Other}, nil
	}
	t, err := lookupTable(v, op, m)
	if err != nil {
		return a2a.Outcome{}, notResult(err)
	}
	r, err := newReader(v, payload)
	if err != nil {
		return a2a.Outcome{}, notResult(err)
	}
	defer r.release()
	o := outcomeReader{r: r}
	if op == a2a.GetTask || op == a2a.CancelTask {
		o.event(root, t, a2a.Task)
		if o.fault == nil && o.outcome.TaskID == "" {
			o.fault = fmt.Errorf("%w: it is a task without an id", a2a.ErrNotResult)
		}
	} else {
		o.wrapped(root, t)
	}
	if o.fault != nil {
		return a2a.Outcome{}, o.fault
	}
	return o.outcome, nil
}

func notResult(err error) error { return fmt.Errorf("%w: %w", a2a.ErrNotResult, err) }

// outcomeReader reads one result and keeps the first fault.
type outcomeReader struct {
	r       *reader
	outcome a2a.Outcome
	fault   error
}

// open finds the fields of a message. It returns false when it is malformed.
func (o *outcomeReader) open(head int32, t *table) (view, bool) {
	v, err := o.r.open(head, t)
	if err != nil && o.fault == nil {
		o.fault = notResult(err)
	}
	return v, err == nil
}

// text reads a string that something is decided on.
func (o *outcomeReader) text(v *view, proto string) string {
	text := v.bytes(proto)
	switch {
	case o.fault != nil:
	case bytes.IndexByte(text, 0) >= 0:
		o.fault = fmt.Errorf("%w: its %s contains a NUL", a2a.ErrNotResult, proto)
	case len(text) > a2a.MaxIDBytes:
		o.fault = fmt.Errorf("%w: an id in it is longer than %d bytes", a2a.ErrNotResult, a2a.MaxIDBytes)
	}
	if o.fault != nil {
		return ""
	}
	return string(text)
}

// wrapped reads a response, of which one field is what it is.
func (o *outcomeReader) wrapped(head int32, t *table) {
	v, ok := o.open(head, t)
	if !ok {
		return
	}
	if v.live == 0 {
		o.fault = fmt.Errorf("%w: it is neither a task nor a message nor an update of a task", a2a.ErrNotResult)
		return
	}
	kind := a2a.Other
	switch v.live {
	case 1:
		kind = a2a.Task
	case 2:
		kind = a2a.Message
	case 3:
		kind = a2a.StatusUpdate
	case 4:
		kind = a2a.ArtifactUpdate
	}
	o.event(v.first[v.live-1]-1, t.fields[v.live-1].msg, kind)
}

func (o *outcomeReader) event(head int32, t *table, kind a2a.Kind) {
	v, ok := o.open(head, t)
	if !ok {
		return
	}
	o.outcome = a2a.Outcome{Kind: kind, ContextID: o.text(&v, "context_id")}
	if kind == a2a.Task {
		o.outcome.TaskID = o.text(&v, "id")
	} else {
		o.outcome.TaskID = o.text(&v, "task_id")
	}
	if status := v.head("status"); status >= 0 {
		if s, ok := o.open(status, t.fields[o.r.occs[status].field].msg); ok {
			n, _ := s.varint("state")
			if state := int32(n); state > 0 && state <= int32(a2a.StateAuthRequired) {
				o.outcome.State = a2a.State(state)
			}
		}
	}
	final, _ := v.varint("final")
	o.outcome.Final = final != 0
}

// ParsePushConfigID reads the id in the push config that an agent answered with. It is "" when there is none.
func ParsePushConfigID(v a2a.Version, payload []byte) (string, error) {
	t, err := lookupTable(v, a2a.GetPushConfig, Result)
	if err != nil {
		return "", notResult(err)
	}
	r, err := newReader(v, payload)
	if err != nil {
		return "", notResult(err)
	}
	defer r.release()
	o := outcomeReader{r: r}
	id := o.pushConfig(root, t)
	return id, o.fault
}

// ParsePushConfigList reads a page of push configs.
func ParsePushConfigList(v a2a.Version, payload []byte) (a2a.PushConfigList, error) {
	var list a2a.PushConfigList
	t, err := lookupTable(v, a2a.ListPushConfigs, Result)
	if err != nil {
		return list, notResult(err)
	}
	r, err := newReader(v, payload)
	if err != nil {
		return list, notResult(err)
	}
	defer r.release()
	o := outcomeReader{r: r}
	page, ok := o.open(root, t)
	if !ok {
		return list, o.fault
	}
	for i := page.head("configs"); i >= 0 && o.fault == nil; {
		next := r.occs[i].next
		r.occs[i].next = -1 // configs are not merged
		list.IDs = append(list.IDs, o.pushConfig(i, t.fields[0].msg))
		i = next
	}
	list.NextPageToken = o.token(&page)
	if o.fault != nil {
		return a2a.PushConfigList{}, o.fault
	}
	return list, nil
}

// token reads the token of the next page, which may be of any length.
func (o *outcomeReader) token(v *view) string {
	text := v.bytes("next_page_token")
	if bytes.IndexByte(text, 0) >= 0 && o.fault == nil {
		o.fault = fmt.Errorf("%w: its next_page_token contains a NUL", a2a.ErrNotResult)
	}
	return string(text)
}

// pushConfig reads the id of a config. In version 0.3 it stands in the config and in its name, and
// agents leave out one or the other.
func (o *outcomeReader) pushConfig(head int32, t *table) string {
	v, ok := o.open(head, t)
	if !ok {
		return ""
	}
	if o.r.v == a2a.V10 {
		return o.text(&v, "id")
	}
	id := ""
	if inner := v.head("push_notification_config"); inner >= 0 {
		if config, ok := o.open(inner, push03); ok {
			id = o.text(&config, "id")
		}
	}
	if id == "" {
		_, id, _ = splitConfigName(string(v.bytes("name")))
		if len(id) > a2a.MaxIDBytes || bytes.IndexByte([]byte(id), 0) >= 0 {
			id = ""
		}
	}
	return id
}
