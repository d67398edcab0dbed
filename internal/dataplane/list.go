package dataplane

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Page sizes of ListTasks (A2A 1.0, section 3.1.4), and how many of the agent's pages
// are read at most to fill one of the caller's.
const (
	defaultListPage = 50
	largestListPage = 100
	listPagesRead   = 50
)

// forwardList answers ListTasks: the agent's pages, less the tasks of others.
func (c *call) forwardList(ctx context.Context) {
	size := defaultListPage
	if c.params.HasPageSize {
		size = c.params.PageSize
	}
	if size < 1 || size > largestListPage {
		c.refuse(invalidParams(fmt.Sprintf("pageSize must be from 1 to %d", largestListPage)))
		return
	}
	at := listPlace{}
	if c.params.PageToken != "" {
		var ok bool
		if at, ok = c.openPageToken(c.params.PageToken); !ok {
			c.refuse(invalidParams("pageToken is not one that this agent's list gave you; leave it out to begin again"))
			return
		}
		c.pinned = at.endpoint
	}
	owned, _ := c.p.cfg.Tasks.Owned(ctx, c.agent.UID, c.principal.UID, c.params.ContextID)
	buf := getBuffer()
	defer c.putBuffer(buf)
	var tasks [][]byte
	var original []byte
	next, bytes := "", 0
	for page := range listPagesRead {
		buf.Reset()
		body := a2a.EditParams(c.body, c.req, c.params, a2a.ParamsEdit{
			Tenant: c.iface.Tenant, Page: true, PageToken: at.token, PageSize: size,
		})
		reply, header, f := c.roundTrip(ctx, body, buf)
		if f != nil {
			c.refuse(f)
			return
		}
		resp, f := c.readReply(reply)
		if f != nil {
			c.refuse(f)
			return
		}
		if resp.Error != nil {
			c.passHeaders(header)
			c.x.ReplyHeader().Set("Content-Type", "application/json")
			c.reply(c.agentError(resp.Error), http.StatusOK, reply)
			return
		}
		list, err := a2a.ParseTaskList(resp.Result)
		if err != nil {
			c.refuse(invalidAgentReply(fmt.Sprintf("the agent's reply is no list of tasks: %v", err)))
			return
		}
		// The agent's token means nothing to another instance.
		c.pinned = c.endpoint()
		if page == 0 {
			original = append([]byte(nil), resp.Result...)
			c.passHeaders(header)
		}
		full := false
		for i, t := range list.Tasks {
			if i < at.offset {
				continue
			}
			_, mine := owned[t.ID]
			if !mine {
				continue
			}
			// A page may be shorter than asked for, so that no agent can make it huge.
			if len(tasks) == size || (len(tasks) > 0 && bytes+len(t.Raw) > int(c.p.limits.ReplyBytes)) {
				at.offset, full = i, true
				break
			}
			tasks = append(tasks, append([]byte(nil), t.Raw...))
			bytes += len(t.Raw)
		}
		if !full {
			at = listPlace{token: list.NextPageToken}
			if at.token == "" {
				break
			}
		}
		at.endpoint = c.pinned
		if full || len(tasks) == size || page == listPagesRead-1 {
			next = c.sealPageToken(at)
			break
		}
	}
	result := a2a.AppendTaskList(nil, original, tasks, next, size, len(owned))
	c.x.ReplyHeader().Set("Content-Type", "application/json")
	c.reply(audit.Succeeded, http.StatusOK, jsonrpc.AppendResult(nil, c.req.ID, result))
}

// listPlace is where the next page begins: at which instance, in which page of it,
// after how many of its tasks.
type listPlace struct {
	endpoint string
	token    string
	offset   int
}

// pageTokenOwner ties a token to its caller and agent.
func (c *call) pageTokenOwner() []byte {
	owner := append([]byte("ListTasks"), c.principal.UID[:]...)
	owner = append(owner, c.agent.UID[:]...)
	return append(owner, c.params.ContextID...)
}

// sealPageToken hides the agent's token: it is the agent's business, and another
// caller must not be able to use it.
func (c *call) sealPageToken(at listPlace) string {
	seal := c.p.cfg.PageSeal
	nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+8+len(at.token)+seal.Overhead())
	rand.Read(nonce) // never fails
	plain := binary.AppendUvarint(nil, uint64(at.offset))
	plain = binary.AppendUvarint(plain, uint64(len(at.endpoint)))
	plain = append(plain, at.endpoint...)
	plain = append(plain, at.token...)
	return base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, plain, c.pageTokenOwner()))
}

func (c *call) openPageToken(token string) (listPlace, bool) {
	seal := c.p.cfg.PageSeal
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(sealed) < seal.NonceSize() {
		return listPlace{}, false
	}
	plain, err := seal.Open(nil, sealed[:seal.NonceSize()], sealed[seal.NonceSize():], c.pageTokenOwner())
	if err != nil {
		return listPlace{}, false
	}
	offset, n := binary.Uvarint(plain)
	if n <= 0 || offset > 1<<20 {
		return listPlace{}, false
	}
	length, m := binary.Uvarint(plain[n:])
	if rest := plain[n+max(m, 0):]; m > 0 && length <= uint64(len(rest)) {
		return listPlace{endpoint: string(rest[:length]), token: string(rest[length:]), offset: int(offset)}, true
	}
	return listPlace{}, false
}
