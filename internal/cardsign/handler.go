package cardsign

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"
)

// document is a text that is served together with its entity tag.
type document struct {
	text []byte
	etag string
}

func newDocument(text []byte) document {
	sum := sha256.Sum256(text)
	return document{text: text, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
}

// Handler serves the public keys, for /.well-known/jwks.json.
func (k *Keys) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		doc := k.current.Load().jwks
		// Of the two types that verifiers accept this is the one that all do: most large
		// issuers serve it.
		h.Set("Content-Type", "application/json")
		h.Set("X-Content-Type-Options", "nosniff")
		// Shorter than PublishTime.
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("ETag", doc.etag)
		// Nothing here is a secret, and agents in browsers verify cards too.
		h.Set("Access-Control-Allow-Origin", "*")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.text))
	})
}
