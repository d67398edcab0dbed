package app

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestReadyz_ADrainingGatewayIsNotReadyButAlive(t *testing.T) {
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir = "127.0.0.1:0", config.Secret(pgtest.ConnString(t)), t.TempDir()
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	probe := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		a.health().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := probe("/readyz"); w.Code != http.StatusOK {
		t.Errorf("before: HTTP %d %s", w.Code, w.Body)
	}
	close(a.draining)
	w := probe("/readyz")
	var state readiness
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || state.Ready || !slices.Equal(state.Problems, []string{"the gateway is shutting down"}) {
		t.Errorf("while draining: HTTP %d %s", w.Code, w.Body)
	}
	if w.Header().Get("X-Signalbox-Revision") == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("while draining: %v", w.Header())
	}
	if w := probe("/healthz"); w.Code != http.StatusOK {
		t.Errorf("GET /healthz while draining: HTTP %d", w.Code)
	}
}
