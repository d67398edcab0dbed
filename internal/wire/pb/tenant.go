package pb

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// SetTenant returns a request of version 1.0 with the tenant set, replaced or, when it is "", removed. A push
// config that is sent along with a message has its tenant, if any, replaced or removed as well. All other
// bytes stay as they are; the payload itself is not changed.
func SetTenant(op a2a.Operation, payload []byte, tenant string) ([]byte, error) {
	t, err := lookupTable(a2a.V10, op, Request)
	if err != nil {
		return nil, err
	}
	r, err := newReader(a2a.V10, payload)
	if err != nil {
		return nil, err
	}
	defer r.release()
	request, err := r.open(root, t)
	if err != nil {
		return nil, err
	}
	num := tenantNumber(t)
	out := make([]byte, 0, len(payload)+protowire.SizeTag(num)+protowire.SizeBytes(len(tenant)))
	if tenant != "" && request.head("tenant") < 0 {
		out = protowire.AppendTag(out, num, protowire.BytesType)
		out = protowire.AppendString(out, tenant)
	}
	e := tenantEdit{tenant: tenant}
	if op.Send() {
		e.inline = []protowire.Number{3, 2} // configuration, task_push_notification_config
	}
	out, _, err = e.edit(out, payload, num, 0)
	return out, err
}

func tenantNumber(t *table) protowire.Number {
	for _, f := range t.fields {
		if f.proto == "tenant" {
			return f.num
		}
	}
	return 0
}

// tenantEdit replaces the tenant in a request.
type tenantEdit struct {
	tenant string
	inline []protowire.Number // the way to the push config
}

// edit appends a message with another tenant and tells whether anything has changed. Num is the field that has
// the tenant, 0 when there is none at this level, and level how far the way to the push config has been gone.
func (e tenantEdit) edit(dst, data []byte, num protowire.Number, level int) (out []byte, changed bool, err error) {
	written := false
	for len(data) > 0 {
		field, typ, tag := protowire.ConsumeTag(data)
		if tag < 0 || field > protowire.MaxValidNumber {
			return nil, false, faultf("the request is malformed")
		}
		n := protowire.ConsumeFieldValue(field, typ, data[tag:])
		if n < 0 {
			return nil, false, faultf("the request is malformed")
		}
		whole, value := data[:tag+n], data[tag:tag+n]
		data = data[tag+n:]
		switch {
		case typ == protowire.BytesType && field == num:
			if !written && e.tenant != "" { // others would overwrite it
				dst = append(dst, whole[:tag]...)
				dst = protowire.AppendString(dst, e.tenant)
			}
			written, changed = true, true
			continue
		case typ == protowire.BytesType && level < len(e.inline) && field == e.inline[level]:
			below := protowire.Number(0)
			if level == len(e.inline)-1 {
				below = tenantNumber(pushConfig10)
			}
			inner, _ := protowire.ConsumeBytes(value)
			edited, inside, err := e.edit(nil, inner, below, level+1)
			if err != nil {
				return nil, false, err
			}
			if inside {
				dst = append(dst, whole[:tag]...)
				dst = protowire.AppendBytes(dst, edited)
				changed = true
				continue
			}
		}
		dst = append(dst, whole...)
	}
	return dst, changed, nil
}
