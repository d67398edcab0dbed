package registry

import (
	"encoding/base64"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// sealer is a ring of one key.
func sealer(t *testing.T) *seal.Ring {
	t.Helper()
	key := make([]byte, seal.KeySize)
	for i := range key {
		key[i] = byte(i)
	}
	ring, err := seal.Open(t.Context(), seal.Config{Env: base64.StdEncoding.EncodeToString(key), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
