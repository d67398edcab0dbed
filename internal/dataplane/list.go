package dataplane

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Page sizes of ListTasks (A2A 1.0, section 3.1.4), how many of the agent's pages are
// read at most to fill one of the caller's, and of how many tasks at once it is decided
// whose they are.
const (
	defaultListPage = 50
	largestListPage = 100
	listPagesRead   = 50
	listStep        = largestListPage
)

// forwardList answers ListTasks: the agent's pages, less the tasks of others.
func (c *call) forwardList(ctx context.Context) {
	size := defaultListPage
	// Clients of gRPC send 0 for a size that was not set.
	if c.params.HasPageSize && (c.params.PageSize != 0 || c.down.Binding != a2a.GRPC) {
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
	listing := c.p.cfg.Tasks.Listing(c.agent.UID, c.principal.UID, c.params.ContextID)
	canonical, params, f := c.canonicalList()
	if f != nil {
		c.refuse(f)
		return
	}
	buf := getBuffer()
	defer c.putBuffer(buf)
	var tasks [][]byte
	var original []byte
	next, filled := "", 0
	for page := range listPagesRead {
		buf.Reset()
		a, f := c.listPage(ctx, canonical, params, at.token, size, buf)
		if f != nil {
			c.refuse(f)
			return
		}
		if a.err != nil {
			c.replyAnswer(&a)
			return
		}
		result, err := translate.Result(c.op, translate.FormOf(c.up.Dialect), translate.JSON10, a.payload)
		var list a2a.TaskList
		if err == nil {
			list, err = a2a.ParseTaskList(result)
		}
		if err != nil {
			c.refuse(invalidAgentReply(fmt.Sprintf("the agent's reply is no list of tasks: %v", err)))
			return
		}
		// The agent's token means nothing to another instance.
		c.pinned = c.endpoint()
		if page == 0 {
			original = append([]byte(nil), result...)
			c.passHeaders(a.header)
		}
		full := false
		for i := at.offset; i < len(list.Tasks) && !full; i += listStep {
			// An agent may send more than it was asked for: what no page needs is not looked up.
			step := list.Tasks[i:min(i+listStep, len(list.Tasks))]
			for j, shown := range listing.Shows(ctx, idsOf(step)) {
				if !shown {
					continue
				}
				raw := step[j].Raw
				// A page may be shorter than asked for, so that no agent can make it huge.
				if len(tasks) == size || (len(tasks) > 0 && filled+len(raw) > int(c.p.limits.ReplyBytes)) {
					at.offset, full = i+j, true
					break
				}
				tasks = append(tasks, append([]byte(nil), raw...))
				filled += len(raw)
			}
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
	result := a2a.AppendTaskList(nil, original, tasks, next, size, listing.Total(ctx))
	result, err := translate.Result(c.op, translate.JSON10, c.form(), result)
	if err != nil {
		c.refuse(invalidAgentReply(fmt.Sprintf("the agent's tasks cannot be put into the caller's dialect: %v", err)))
		return
	}
	c.replyResult(result)
}

// canonicalList is the caller's request in the canonical form, and what was read in it
// there.
func (c *call) canonicalList() ([]byte, a2a.Call, *fault) {
	canonical, err := translate.Request(c.op, c.form(), translate.JSON10, c.payload)
	if err != nil {
		return nil, a2a.Call{}, untranslatable(err)
	}
	if len(canonical) == 0 {
		canonical = emptyObject
	}
	params, rpcErr := a2a.ParseCall(c.op, a2a.V10, canonical)
	if rpcErr != nil {
		return nil, a2a.Call{}, protocolFault(rpcErr)
	}
	return canonical, params, nil
}

// listPage asks the agent for a page.
func (c *call) listPage(ctx context.Context, canonical []byte, params a2a.Call, token string, size int, buf *bytes.Buffer) (answer, *fault) {
	page := a2a.SetListPage(canonical, jsonrpc.Request{Params: canonical}, params, token, size)
	out, f := c.outgoingOf(c.op, page)
	if f != nil {
		return answer{}, f
	}
	return c.roundTrip(ctx, out, buf)
}

func idsOf(tasks []a2a.ListedTask) []string {
	ids := make([]string, len(tasks))
	for i := range tasks {
		ids[i] = tasks[i].ID
	}
	return ids
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
