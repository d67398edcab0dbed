package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

// settings are those of a gateway on a port of its own.
func settings(t *testing.T, dsn, dataDir string, change ...func(*config.Config)) *config.Config {
	t.Helper()
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir, cfg.AdminKey = "127.0.0.1:0", config.Secret(dsn), dataDir, ""
	cfg.KEKVariable = "c2lnbmFsYm94IHRlc3RzIHNoYXJlIHRoaXMga2V5ISE="
	cfg.DrainTimeout = 6 * time.Second
	for _, c := range change {
		c(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// start runs a gateway until the test ends or stop is called.
func start(t *testing.T, cfg *config.Config) (a *app.App, stop func()) {
	t.Helper()
	a, err := app.New(t.Context(), cfg, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the gateway stopped with %v", err)
		}
	})
	t.Cleanup(stop)
	<-a.Ready()
	return a, stop
}

// bearer sends a key with every request, each on a connection of its own.
type bearer struct{ key string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Close = true
	if b.key != "" {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func people(url, key string) identityv1connect.IdentityServiceClient {
	return identityv1connect.NewIdentityServiceClient(&http.Client{Transport: bearer{key}}, url)
}

// get returns status and body of a page.
func get(t *testing.T, url, key string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Transport: bearer{key}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// free returns an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // what it is for begins then
	return l.Addr().String()
}

func TestNew_ATakenAddressIsNamedAndNothingStaysBehind(t *testing.T) {
	dsn := pgtest.ConnString(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nobody came
	address := taken.Addr().String()
	for name, tt := range map[string]struct {
		change func(*config.Config)
		flag   string
	}{
		"listen":            {func(c *config.Config) { c.Listen = address }, "--listen"},
		"management_listen": {func(c *config.Config) { c.Listen, c.ManagementListen = free(t), address }, "--management-listen"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			cfg := settings(t, dsn, dir, tt.change)
			before := goleak.IgnoreCurrent()
			_, err := app.New(t.Context(), cfg, logger(t))
			if err == nil {
				t.Fatal("two listen on one address")
			}
			if !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), tt.flag) {
				t.Errorf("the error names not %s and %s: %v", address, tt.flag, err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the data folder was made all the same: %v", err)
			}
			goleak.VerifyNone(t, before)
			if cfg.Listen != address { // the first address is free again
				l, err := net.Listen("tcp", cfg.Listen)
				if err != nil {
					t.Fatal(err)
				}
				_ = l.Close() // it was only to see
			}
		})
	}
}

func TestNew_ADatabaseThatIsNotThereIsAClearError(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dsn := "postgres://nobody:secret-of-the-test@" + free(t) + "/none?sslmode=disable"
	_, err := app.New(t.Context(), settings(t, dsn, t.TempDir()), logger(t))
	if err == nil {
		t.Fatal("there is no database")
	}
	if strings.Contains(err.Error(), "secret-of-the-test") {
		t.Errorf("the error shows the password: %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestClose_WithoutRunLeavesNothingBehind(t *testing.T) {
	dsn := pgtest.ConnString(t)
	before := goleak.IgnoreCurrent()
	for name, endpoint := range map[string]string{"without tracing": "", "with tracing": "http://127.0.0.1:4318"} {
		a, err := app.New(t.Context(), settings(t, dsn, t.TempDir(), func(c *config.Config) { c.Telemetry.OTLPEndpoint = endpoint }), logger(t))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		a.Close()
		if err := goleak.Find(before); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNew_ASecondGatewayOnADataFolderIsRefused(t *testing.T) {
	dsn, dir := pgtest.ConnString(t), t.TempDir()
	first, _ := start(t, settings(t, dsn, dir))
	begin := time.Now()
	_, err := app.New(t.Context(), settings(t, dsn, dir), logger(t))
	locked, ok := errors.AsType[*spool.LockedError](err)
	if !ok || !strings.HasPrefix(locked.Dir, dir) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("the second gateway: %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the refusal took %s", took)
	}
	// The first one did not notice.
	if _, err := people(first.URL(), first.AdminKey()).CreateTeam(t.Context(), team("demo")); err != nil {
		t.Error(err)
	}
	if status, body := get(t, first.URL()+"/readyz", ""); status != http.StatusOK {
		t.Errorf("GET /readyz: HTTP %d %s", status, body)
	}
}

func team(id string) *identityv1.CreateTeamRequest {
	return &identityv1.CreateTeamRequest{TeamId: id, Team: &identityv1.Team{DisplayName: id}}
}

func TestRun_ThePrivatePostgresKeepsItsDataFromStartToStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, stop := start(t, settings(t, "", dir))
	key := first.AdminKey()
	if !first.AdminKeyMade() || key == "" {
		t.Errorf("the first start made no admin key: %t", first.AdminKeyMade())
	}
	if _, err := people(first.URL(), key).CreateTeam(t.Context(), team("demo")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder is %v, %v", info, err)
	}
	// Another gateway on the same folder is refused while this one runs.
	if _, err := app.New(t.Context(), settings(t, "", dir), logger(t)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second gateway on the folder: %v", err)
	}
	if _, err := people(first.URL(), key).GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/demo"}); err != nil {
		t.Errorf("after the second gateway was refused: %v", err)
	}
	stop()
	pids, err := filepath.Glob(filepath.Join(dir, "postgres", "*", "postmaster.pid"))
	if err != nil || len(pids) > 0 {
		t.Errorf("Postgres was not stopped: %v, %v", pids, err)
	}

	second, stop := start(t, settings(t, "", dir))
	if second.AdminKeyMade() || second.AdminKey() != key {
		t.Error("the second start has another admin key")
	}
	got, err := people(second.URL(), key).GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/demo"})
	if err != nil || got.GetDisplayName() != "demo" {
		t.Errorf("the team after the second start: %v, %v", got, err)
	}
	stop()
}

func TestRun_ManagementListenMovesManagementAndMetrics(t *testing.T) {
	other := free(t)
	a, _ := start(t, settings(t, pgtest.ConnString(t), t.TempDir(), func(c *config.Config) { c.ManagementListen = other }))
	calls, management := a.URL(), "http://"+other
	const service = "/" + identityv1connect.IdentityServiceName + "/ListTeams"
	for _, tt := range []struct {
		url    string
		path   string
		status int
	}{
		{calls, "/healthz", http.StatusOK},
		{calls, "/readyz", http.StatusOK},
		{calls, "/a2a", http.StatusOK},
		{calls, "/metrics", http.StatusNotFound},
		{calls, service, http.StatusNotFound},
		{calls, "/grpc.health.v1.Health/Check", http.StatusNotFound},
		{management, "/healthz", http.StatusOK},
		{management, "/readyz", http.StatusOK},
		{management, "/metrics", http.StatusOK},
		{management, "/a2a", http.StatusNotFound},
		{management, "/a2a/echo", http.StatusNotFound},
	} {
		if status, body := get(t, tt.url+tt.path, a.AdminKey()); status != tt.status {
			t.Errorf("GET %s%s: HTTP %d, want %d: %.200s", tt.url, tt.path, status, tt.status, body)
		}
	}
	if _, err := people(management, a.AdminKey()).CreateTeam(t.Context(), team("demo")); err != nil {
		t.Errorf("the management plane where it is now: %v", err)
	}
	if _, err := people(calls, a.AdminKey()).CreateTeam(t.Context(), team("other")); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("the management plane where it was: %v", err)
	}
}

func TestAdminKey_IsMadeOnceInAFileThatNobodyElseReads(t *testing.T) {
	dsn, dir := pgtest.ConnString(t), t.TempDir()
	first, stop := start(t, settings(t, dsn, dir))
	info, err := os.Stat(first.AdminKeyFile())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 || filepath.Dir(first.AdminKeyFile()) != dir {
		t.Errorf("%s has mode %s", first.AdminKeyFile(), info.Mode())
	}
	text, err := os.ReadFile(first.AdminKeyFile())
	key := strings.TrimSpace(string(text))
	if err != nil || key != first.AdminKey() || len(key) < 32 || !first.AdminKeyMade() {
		t.Errorf("the file and the gateway have different keys, %v", err)
	}
	if _, err := people(first.URL(), key).CreateTeam(t.Context(), team("demo")); err != nil {
		t.Errorf("the key of the file: %v", err)
	}
	if _, err := people(first.URL(), key+"x").CreateTeam(t.Context(), team("other")); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("another key: %v", err)
	}
	stop()
	second, stop := start(t, settings(t, dsn, dir))
	if second.AdminKey() != key || second.AdminKeyMade() {
		t.Error("the second start has another key")
	}
	if _, err := people(second.URL(), key).GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/demo"}); err != nil {
		t.Errorf("the key at the second start: %v", err)
	}
	stop()
	// A replica with a folder of its own knows no secret, and takes the same key.
	replica, _ := start(t, settings(t, dsn, t.TempDir()))
	if replica.AdminKey() != "" || replica.AdminKeyMade() {
		t.Error("the replica has an admin key of its own")
	}
	if _, err := os.Stat(replica.AdminKeyFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the replica has a key file: %v", err)
	}
	if _, err := people(replica.URL(), key).GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/demo"}); err != nil {
		t.Errorf("the key at the replica: %v", err)
	}
}

func TestAdminKey_OfTheEnvironmentIsUsedAndStoredNowhere(t *testing.T) {
	const given = "sb_given-by-the-environment-0123456789"
	t.Setenv("SIGNALBOX_ADMIN_KEY", given)
	dsn, dir := pgtest.ConnString(t), t.TempDir()
	loaded, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, dsn, dir, func(c *config.Config) { c.AdminKey = loaded.AdminKey })
	a, stop := start(t, cfg)
	if a.AdminKey() != given || a.AdminKeyMade() {
		t.Error("the gateway has another key")
	}
	if _, err := os.Stat(a.AdminKeyFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a key file: %v", err)
	}
	if _, err := people(a.URL(), given).CreateTeam(t.Context(), team("demo")); err != nil {
		t.Errorf("the given key: %v", err)
	}
	stop()
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), given) {
			t.Errorf("%s has the key", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// Without the variable the key counts no more.
	t.Setenv("SIGNALBOX_ADMIN_KEY", "")
	b, _ := start(t, settings(t, dsn, dir))
	if _, err := people(b.URL(), given).GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/demo"}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("the key without the variable: %v", err)
	}
	if !b.AdminKeyMade() {
		t.Error("there is no admin key now")
	}
}

func TestManagement_ASlowBodyHoldsNoConnection(t *testing.T) {
	cfg := settings(t, pgtest.ConnString(t), t.TempDir(), func(c *config.Config) { c.Limits.SlowBody = 200 * time.Millisecond })
	a, _ := start(t, cfg)
	for name, path := range map[string]string{
		"a call without a key": "/signalbox.registry.v1.RegistryService/ListAgents",
		"no such service":      "/signalbox.x/Y",
		"health":               "/grpc.health.v1.Health/Check",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: the connection was held: %v", name, err)
		}
	}
}
