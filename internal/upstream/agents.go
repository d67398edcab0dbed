package upstream

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// defaultTransports is how many configurations of TLS have connections at a time.
const defaultTransports = 1024

// sweepPause keeps the looks for what is needed no more apart.
const sweepPause = time.Second

// defaultExchanged is how many tokens that were exchanged are kept.
const defaultExchanged = 10_000

// Registered gives the agents that there are.
type Registered interface {
	// AgentOf returns the agent of a uid as it is now.
	AgentOf(uid uuid.UUID) (*registry.Agent, bool)
	// Changed returns a channel that is closed when agents may have changed.
	Changed() <-chan struct{}
}

// AgentsConfig says how Agents works.
type AgentsConfig struct {
	// Transport, Guard and Seal are required. Transport is the way to agents that need
	// neither a credential nor TLS of their own.
	Transport *Transport
	Guard     *Guard
	Seal      credential.Unsealer
	// Registered, when it is not nil, tells what is needed no more.
	Registered Registered
	// MaxHeaderBytes bounds the headers of replies.
	MaxHeaderBytes int64
	// MaxTransports is how many configurations of TLS have connections at a time; beyond
	// it those that were asked for longest ago are given up. 0 means 1024.
	MaxTransports int
	// Identities makes tokens of the gateway's own; agents that want one cannot be called
	// without it.
	Identities httpauth.Identities
	// ExchangeOrigins are the origins of token endpoints that may see the tokens of all
	// callers. Others see only those of their own issuer.
	ExchangeOrigins []string
	// MaxExchanged is how many tokens that were exchanged are kept; 0 means 10 000.
	MaxExchanged int
	// TokenWait bounds how long a call waits for a token; 0 means 5 s.
	TokenWait time.Duration
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
}

// Agents is the way to each agent: with its credential, and over connections of its
// configuration of TLS, which agents of the same configuration share.
type Agents struct {
	cfg       AgentsConfig
	ways      sync.Map // uuid.UUID → *way
	exchanged *httpauth.Exchanged

	background context.Context //nolint:containedctx // the life of what is fetched beside calls
	stop       context.CancelFunc
	workMu     sync.Mutex // guards that nothing begins while Close waits
	closed     bool
	working    sync.WaitGroup

	mu     sync.Mutex // for making ways and transports; not held on the way of a call
	shared map[[32]byte]*sharedTransport
	uses   uint64 // counts, so that the transport that was needed longest ago is known
}

// sharedTransport is a transport of one configuration of TLS.
type sharedTransport struct {
	*Transport
	used uint64
}

// way is how one agent is reached.
type way struct {
	agent *registry.Agent // as it was when the way was made
	http.RoundTripper
	needs [][32]byte // keys of the transports that it uses
}

// NewAgents returns an Agents. Close must be called in the end.
func NewAgents(cfg AgentsConfig) (*Agents, error) {
	if cfg.Transport == nil || cfg.Guard == nil || cfg.Seal == nil {
		return nil, errors.New("upstream: AgentsConfig.Transport, AgentsConfig.Guard and AgentsConfig.Seal are required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.MaxTransports == 0 {
		cfg.MaxTransports = defaultTransports
	}
	if cfg.MaxExchanged == 0 {
		cfg.MaxExchanged = defaultExchanged
	}
	a := &Agents{cfg: cfg, shared: map[[32]byte]*sharedTransport{}, exchanged: httpauth.NewExchanged(cfg.MaxExchanged)}
	a.background, a.stop = context.WithCancel(context.Background())
	return a, nil
}

// For returns the way to an agent. Failures to show its credential are of type
// [*httpauth.Error]. The headers of requests are written to.
func (a *Agents) For(agent *registry.Agent) http.RoundTripper {
	if agent.Credential == nil && agent.TLS == nil {
		return a.cfg.Transport
	}
	known, ok := a.ways.Load(agent.UID)
	if ok && known.(*way).agent == agent {
		return known.(*way)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok = a.ways.Load(agent.UID); ok && reaches(known.(*way).agent, agent) {
		w := *known.(*way) // its tokens are kept when something else of the agent changed
		w.agent = agent
		a.ways.Store(agent.UID, &w)
		return &w
	}
	w := a.make(agent)
	a.ways.Store(agent.UID, w)
	return w
}

// Once is For for an agent that is perhaps not registered: nothing of it is kept unless
// it was known before. done must be called when the reply has been read.
func (a *Agents) Once(agent *registry.Agent) (to http.RoundTripper, done func()) {
	if known, ok := a.ways.Load(agent.UID); ok && reaches(known.(*way).agent, agent) {
		return known.(*way), func() {}
	}
	if agent.Credential == nil && agent.TLS == nil {
		return a.cfg.Transport, func() {}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.make(agent), a.release
}

// reaches tells whether two states of an agent are reached in the same way.
func reaches(was, is *registry.Agent) bool {
	return reflect.DeepEqual(was.Credential, is.Credential) && was.TLS.Same(is.TLS)
}

// make makes the way to an agent. The lock is held.
func (a *Agents) make(agent *registry.Agent) *way {
	w := &way{agent: agent}
	transport, err := a.transportOf(agent, w)
	if err != nil {
		w.RoundTripper = failing{unreadable("the client certificate for the agent", err)}
		return w
	}
	if agent.Credential == nil {
		w.RoundTripper = transport
		return w
	}
	secret, err := credential.Open(a.cfg.Seal, agent.UID, agent.Credential)
	if err != nil {
		w.RoundTripper = failing{unreadable("the credential for the agent", err)}
		return w
	}
	signer, err := httpauth.New(httpauth.Config{
		Client: a.tokenClient(agent, w), Background: a.background, Go: a.begin, Wait: a.cfg.TokenWait, Clock: a.cfg.Clock,
		Agent: agent.Name(), Identities: a.cfg.Identities, Exchanged: a.exchanged, ExchangeOrigins: a.cfg.ExchangeOrigins,
	}, agent.Credential, secret)
	if err != nil {
		w.RoundTripper = failing{&httpauth.Error{Why: httpauth.Unreadable, Problem: "the credential for the agent is of a kind that this version does not know", Err: err}}
		return w
	}
	w.RoundTripper = &signing{next: transport, signer: signer, secret: secret}
	return w
}

// begin runs a function beside the calls. Close waits for it.
func (a *Agents) begin(f func()) {
	a.workMu.Lock()
	defer a.workMu.Unlock()
	if a.closed {
		go f() // its context has ended
		return
	}
	a.working.Go(f)
}

// transportOf returns the transport for the agent's configuration of TLS. The lock is held.
func (a *Agents) transportOf(agent *registry.Agent, w *way) (*Transport, error) {
	t := agent.TLS
	if t == nil {
		return a.cfg.Transport, nil
	}
	config, err := t.Config(a.cfg.Seal, agent.UID)
	if err != nil {
		return nil, err
	}
	// The certificate stands for its key: there is no other one for it.
	return a.share(w, config, "agent", t.CA, t.Certificate, t.ServerName), nil
}

// tokenClient returns what asks for the agent's tokens. Of the agent's configuration of
// TLS it takes the authorities, beside those that the machine trusts: an organisation's
// own are needed for its own token endpoint, and are in nobody's way at others.
func (a *Agents) tokenClient(agent *registry.Agent, w *way) *http.Client {
	if !agent.Credential.Kind.Fetched() {
		return nil
	}
	transport := a.cfg.Transport
	if agent.TLS != nil && agent.TLS.CA != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM([]byte(agent.TLS.CA))
		transport = a.share(w, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, "token", agent.TLS.CA)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// share returns the transport of a configuration, which its parts stand for. The lock
// is held.
func (a *Agents) share(w *way, config *tls.Config, parts ...string) *Transport {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // hashes take everything
	}
	key := [32]byte(h.Sum(nil))
	a.uses++
	w.needs = append(w.needs, key)
	if known, ok := a.shared[key]; ok {
		known.used = a.uses
		return known.Transport
	}
	if len(a.shared) >= a.cfg.MaxTransports {
		a.drop()
	}
	t := &sharedTransport{Transport: newTransport(a.cfg.Guard, a.cfg.MaxHeaderBytes, config), used: a.uses}
	a.shared[key] = t
	return t.Transport
}

// drop gives up the transport that was asked for longest ago, and the ways over it: they
// are made anew when they are needed. The lock is held.
func (a *Agents) drop() {
	var oldest [32]byte
	least := ^uint64(0)
	for key, t := range a.shared {
		if t.used < least {
			oldest, least = key, t.used
		}
	}
	a.ways.Range(func(uid, w any) bool {
		for _, key := range w.(*way).needs {
			if key == oldest {
				a.ways.Delete(uid)
			}
		}
		return true
	})
	a.shared[oldest].CloseIdleConnections()
	delete(a.shared, oldest)
}

// release closes what no way needs.
func (a *Agents) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	needed := map[[32]byte]bool{}
	a.ways.Range(func(_, w any) bool {
		for _, key := range w.(*way).needs {
			needed[key] = true
		}
		return true
	})
	for key, t := range a.shared {
		if !needed[key] {
			// Connections that are in use close when they are done.
			t.CloseIdleConnections()
			delete(a.shared, key)
		}
	}
}

// Run lets go of what agents need no more, until ctx ends.
func (a *Agents) Run(ctx context.Context) error {
	if a.cfg.Registered == nil {
		<-ctx.Done()
		return nil
	}
	for {
		changed := a.cfg.Registered.Changed() // taken first, so that no change goes unseen
		a.sweep()
		pause := time.NewTimer(sweepPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// sweep forgets the ways to agents that are gone or are reached otherwise now.
func (a *Agents) sweep() {
	a.ways.Range(func(uid, w any) bool {
		agent, ok := a.cfg.Registered.AgentOf(uid.(uuid.UUID))
		if !ok || !reaches(w.(*way).agent, agent) {
			a.ways.CompareAndDelete(uid, w)
		}
		return true
	})
	a.release()
}

// Close ends what is fetched beside calls and closes the connections that carry nothing.
func (a *Agents) Close() {
	a.stop()
	a.workMu.Lock()
	a.closed = true
	a.workMu.Unlock()
	a.working.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, t := range a.shared {
		t.CloseIdleConnections()
		delete(a.shared, key)
	}
}
