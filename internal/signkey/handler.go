package signkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// document is a key set as it is served, and the keys that it was made of.
type document struct {
	of   []*keySet
	text []byte
	etag string
}

// published serves key sets as one.
type published struct {
	keys    []*Keys
	current atomic.Pointer[document]
}

// Handler serves the public keys of all that it is given as one JSON Web Key Set, for
// /.well-known/jwks.json.
func Handler(keys ...*Keys) http.Handler { return &published{keys: keys} }

// document returns the set as it is now.
func (p *published) document() (*document, error) {
	now := make([]*keySet, len(p.keys))
	for i, k := range p.keys {
		now[i] = k.current.Load()
	}
	if d := p.current.Load(); d != nil && slices.Equal(d.of, now) {
		return d, nil
	}
	text, err := jwksOf(now...)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	d := &document{of: now, text: text, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
	p.current.Store(d)
	return d, nil
}

// ServeHTTP serves the set.
func (p *published) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	doc, err := p.document()
	if err != nil { // public keys that were written before can be written again
		http.Error(w, "the keys cannot be written", http.StatusInternalServerError)
		return
	}
	// Of the two types that verifiers accept this is the one that all do: most large
	// issuers serve it.
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(MaxAge/time.Second)))
	h.Set("ETag", doc.etag)
	// Nothing here is a secret, and agents in browsers verify cards too.
	h.Set("Access-Control-Allow-Origin", "*")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.text))
}

func jwksOf(sets ...*keySet) ([]byte, error) {
	all := jose.JSONWebKeySet{}
	for _, set := range sets {
		for _, key := range set.keys {
			all.Keys = append(all.Keys, key.public)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write the key set: %w", err)
	}
	return text, nil
}
