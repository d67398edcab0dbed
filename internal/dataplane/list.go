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
	}
	owned, _ := c.p.cfg.Tasks.Owned(ctx, c.agent.UID, c.principal.UID, c.params.ContextID)
	buf := getBuffer()
	defer putBuffer(buf)
	var tasks [][]byte
	var original []byte
	next := ""
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
		if page == 0 {
			original = append([]byte(nil), resp.Result...)
			c.passHeaders(header)
		}
		full := false
		for i, t := range list.Tasks {
			if i < at.offset {
				continue
			}
			if len(tasks) == size {
				at.offset, full = i, true
				break
			}
			if _, mine := owned[t.ID]; mine {
				tasks = append(tasks, append([]byte(nil), t.Raw...))
			}
		}
		if !full {
			at = listPlace{token: list.NextPageToken}
			if at.token == "" {
				break
			}
		}
		if len(tasks) == size || page == listPagesRead-1 {
			next = c.sealPageToken(at)
			break
		}
	}
	result := a2a.AppendTaskList(nil, original, tasks, next, size, len(owned))
	c.x.ReplyHeader().Set("Content-Type", "application/json")
	c.reply(audit.Succeeded, http.StatusOK, jsonrpc.AppendResult(nil, c.req.ID, result))
}

// listPlace is where the next page begins: in which page of the agent, after how
// many of its tasks.
type listPlace struct {
	token  string
	offset int
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
	return listPlace{token: string(plain[n:]), offset: int(offset)}, true
}
