package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/signalbox-dev/signalbox/internal/config"
)

// clean takes every variable away that would change a setting.
func clean(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "SIGNALBOX_") || name == "DATABASE_URL" || name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
			t.Setenv(name, value) // put back after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// load reads the settings from arguments, variables and a file, each of which may be
// empty.
func load(t *testing.T, file string, variables map[string]string, args ...string) (*config.Config, error) {
	t.Helper()
	clean(t)
	if file != "" {
		path := filepath.Join(t.TempDir(), "signalbox.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SIGNALBOX_CONFIG", path)
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(flags)
}

func mustLoad(t *testing.T, file string, variables map[string]string, args ...string) *config.Config {
	t.Helper()
	cfg, err := load(t, file, variables, args...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestLoad_FlagBeforeVariableBeforeFileBeforeDefault(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nlimits:\n  request_bytes: 1001\n  event_bytes: 1002\ndatabase:\n  listen: false\n  max_connections: 11\n" +
		"stream:\n  idle: 1m\nupstream:\n  allowed_networks: [10.1.0.0/16, 10.2.0.0/16]\n"
	variables := map[string]string{
		"SIGNALBOX_LISTEN": "127.0.0.1:2", "SIGNALBOX_LIMITS_REQUEST_BYTES": "2001", "SIGNALBOX_DATABASE_LISTEN": "true",
		"SIGNALBOX_DATABASE_MAX_CONNECTIONS": "12", "SIGNALBOX_STREAM_IDLE": "2m", "SIGNALBOX_UPSTREAM_ALLOWED_NETWORKS": "10.3.0.0/16, 10.4.0.0/16",
	}
	args := []string{
		"--listen=127.0.0.1:3", "--limits-request-bytes=3001", "--database-listen=false", "--database-max-connections=13",
		"--stream-idle=3m", "--upstream-allowed-networks=10.5.0.0/16,10.6.0.0/16",
	}
	type picked struct {
		Listen         string
		Request        int64
		Event          int
		DatabaseListen bool
		Connections    int32
		Idle           time.Duration
		Networks       []string
	}
	tests := []struct {
		name string
		cfg  *config.Config
		want picked
	}{
		{"nothing", mustLoad(t, "", nil), picked{"127.0.0.1:8080", 16 << 20, 8 << 20, true, 16, 10 * time.Minute, []string{"preset"}}},
		{"file", mustLoad(t, file, nil), picked{"127.0.0.1:1", 1001, 1002, false, 11, time.Minute, []string{"10.1.0.0/16", "10.2.0.0/16"}}},
		{"variables", mustLoad(t, "", variables), picked{"127.0.0.1:2", 2001, 8 << 20, true, 12, 2 * time.Minute, []string{"10.3.0.0/16", "10.4.0.0/16"}}},
		{"flags", mustLoad(t, "", nil, args...), picked{"127.0.0.1:3", 3001, 8 << 20, false, 13, 3 * time.Minute, []string{"10.5.0.0/16", "10.6.0.0/16"}}},
		{"variables over the file", mustLoad(t, file, variables), picked{"127.0.0.1:2", 2001, 1002, true, 12, 2 * time.Minute, []string{"10.3.0.0/16", "10.4.0.0/16"}}},
		{"flags over the file", mustLoad(t, file, nil, args...), picked{"127.0.0.1:3", 3001, 1002, false, 13, 3 * time.Minute, []string{"10.5.0.0/16", "10.6.0.0/16"}}},
		{"flags over all", mustLoad(t, file, variables, args...), picked{"127.0.0.1:3", 3001, 1002, false, 13, 3 * time.Minute, []string{"10.5.0.0/16", "10.6.0.0/16"}}},
	}
	for _, tt := range tests {
		got := picked{
			tt.cfg.Listen, tt.cfg.Limits.RequestBytes, tt.cfg.Limits.EventBytes, tt.cfg.Database.Listen,
			tt.cfg.Database.MaxConnections, tt.cfg.Stream.Idle, tt.cfg.Upstream.AllowedNetworks,
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestLoad_NeedsNoFlags(t *testing.T) {
	want := mustLoad(t, "", nil)
	got, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("without flags (-with +without):\n%s", diff)
	}
}

func TestLoad_TheFileIsNamedByFlagOrVariable(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := write("one.yaml", "listen: 127.0.0.1:1\n"), write("two.yaml", "listen: 127.0.0.1:2\n")
	if cfg := mustLoad(t, "", map[string]string{"SIGNALBOX_CONFIG": one}, "--config="+two); cfg.Listen != "127.0.0.1:2" {
		t.Errorf("the variable's file won: %s", cfg.Listen)
	}
	t.Setenv("SIGNALBOX_CONFIG", one)
	if cfg, err := config.Load(nil); err != nil || cfg.Listen != "127.0.0.1:1" {
		t.Errorf("the variable alone: %v", err)
	}
	missing := filepath.Join(dir, "missing.yaml")
	if _, err := load(t, "", nil, "--config="+missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := load(t, "", nil, "--config="+write("bad.yaml", "listen: [")); err == nil || !strings.Contains(err.Error(), "bad.yaml") {
		t.Errorf("a file that is no YAML: %v", err)
	}
}

func TestLoad_NamesWhatTheFileHasTooMuch(t *testing.T) {
	_, err := load(t, "listen: 127.0.0.1:1\nlisten_adress: x\nstream:\n  idel: 1m\n  idle: 1m\nunary: 5\n", nil)
	if err == nil {
		t.Fatal("unknown settings are taken")
	}
	for _, want := range []string{`"listen_adress"`, `"stream.idel"`, `"unary"`, "signalbox.yaml"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), `"stream.idle"`) || strings.Contains(err.Error(), `"listen"`) {
		t.Errorf("the error names what is right: %v", err)
	}
}

// wantFaults checks that an error names every one of some faults.
func wantFaults(t *testing.T, err error, faults ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", faults)
		return
	}
	for _, fault := range faults {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("the error lacks %q:\n%v", fault, err)
		}
	}
}

func TestLoad_AllFaultsOfOneSourceAtOnce(t *testing.T) {
	_, err := load(t, "stream:\n  idle: long\n  idel: 1m\nlimits:\n  body_rate: much\n", nil)
	wantFaults(t, err, "stream.idle", "stream.idel", "limits.body_rate", `"long" is no duration`, `"much" is no whole number`)
	_, err = load(t, "", map[string]string{"SIGNALBOX_STREAM_IDLE": "5", "SIGNALBOX_DATABASE_LISTEN": "maybe", "SIGNALBOX_LIMITS_EVENT_BYTES": "x"})
	wantFaults(t, err, "SIGNALBOX_STREAM_IDLE", "SIGNALBOX_DATABASE_LISTEN", "SIGNALBOX_LIMITS_EVENT_BYTES", "true or false")
	_, err = load(t, "", map[string]string{"SIGNALBOX_ADMIN_KEY": "short"},
		"--listen=here", "--management-listen=there", "--data-dir=", "--public-url=ftp://x", "--log-level=loud", "--log-format=xml",
		"--errors-http-status=404", "--telemetry-otlp-protocol=udp", "--limits-request-bytes=0", "--unary-timeout=-1s",
		"--audit-spool-bytes=1024", "--snapshot-max-age=-1s", "--upstream-allowed-networks=10.0.0.0/8,private", "--upstream-token-exchange-origins=https://sts.example.com/token", "--database-max-connections=0")
	wantFaults(t, err, "listen: \"here\"", "management_listen: \"there\"", "data_dir", "public_url", "log.level", "log.format", "errors.http_status",
		"telemetry.otlp_protocol", "limits.request_bytes", "unary.timeout", "audit.spool_bytes", "snapshot.max_age",
		"upstream.allowed_networks: \"private\"", "upstream.token_exchange_origins: \"https://sts.example.com/token\"", "database.max_connections", "SIGNALBOX_ADMIN_KEY")
}

func TestLoad_AllFaultsOfAllSourcesAtOnce(t *testing.T) {
	_, err := load(t, "no_such_setting: 1\n", map[string]string{"SIGNALBOX_STREAM_IDLE": "soon"}, "--log-level=loud")
	wantFaults(t, err, "no_such_setting", "SIGNALBOX_STREAM_IDLE", "log.level")
}

// A number that is read in part is another number.
func TestLoad_TakesNoNumberInPart(t *testing.T) {
	for _, text := range []string{"16MiB", "1e6", "1 000", "12,5", "1.5", "", "0x"} {
		if cfg, err := load(t, "", map[string]string{"SIGNALBOX_LIMITS_REQUEST_BYTES": text}); err == nil {
			t.Errorf("variable %q is taken for %d", text, cfg.Limits.RequestBytes)
		}
		if cfg, err := load(t, fmt.Sprintf("limits:\n  request_bytes: %q\n", text), nil); err == nil {
			t.Errorf("%q in the file is taken for %d", text, cfg.Limits.RequestBytes)
		}
	}
	if cfg, err := load(t, "limits:\n  request_bytes: 1.5e7\n", nil); err == nil && cfg.Limits.RequestBytes != 15_000_000 {
		t.Errorf("1.5e7 in the file is taken for %d", cfg.Limits.RequestBytes)
	}
	for _, text := range []string{"truely", "true false", "yes please"} {
		if cfg, err := load(t, "", map[string]string{"SIGNALBOX_DATABASE_LISTEN": text}); err == nil {
			t.Errorf("variable %q is taken for %t", text, cfg.Database.Listen)
		}
	}
}

func TestLoad_WellKnownVariablesCountLast(t *testing.T) {
	const db, otel = "postgres://other.example/db", "http://other.example:4318"
	known := map[string]string{"DATABASE_URL": db, "OTEL_EXPORTER_OTLP_ENDPOINT": otel}
	cfg := mustLoad(t, "", known)
	if cfg.DatabaseURL != db || cfg.Telemetry.OTLPEndpoint != otel {
		t.Errorf("alone: %q and %q", cfg.DatabaseURL, cfg.Telemetry.OTLPEndpoint)
	}
	cfg = mustLoad(t, "database_url: postgres://own.example/db\ntelemetry:\n  otlp_endpoint: http://own.example:4318\n", known)
	if cfg.DatabaseURL != "postgres://own.example/db" || cfg.Telemetry.OTLPEndpoint != "http://own.example:4318" {
		t.Errorf("beside the file: %q and %q", cfg.DatabaseURL, cfg.Telemetry.OTLPEndpoint)
	}
	cfg = mustLoad(t, "", nil)
	if cfg.DatabaseURL != "" || cfg.Telemetry.OTLPEndpoint != "" {
		t.Errorf("without any: %q and %q", cfg.DatabaseURL, cfg.Telemetry.OTLPEndpoint)
	}
}

func TestLoad_AnAdminKeyNeeds32Characters(t *testing.T) {
	for length, ok := range map[int]bool{1: false, 31: false, 32: true, 100: true} {
		key := strings.Repeat("k", length)
		cfg, err := load(t, "", map[string]string{"SIGNALBOX_ADMIN_KEY": key})
		if (err == nil) != ok {
			t.Errorf("a key of %d characters: %v", length, err)
		}
		if err == nil && string(cfg.AdminKey) != key {
			t.Errorf("the key of %d characters is another now", length)
		}
		if err != nil && strings.Contains(err.Error(), key) && length > 1 {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if cfg := mustLoad(t, "", nil); cfg.AdminKey != "" {
		t.Error("there is an admin key that nobody gave")
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	if flags.Lookup("admin-key") != nil {
		t.Error("the admin key has a flag, so every process of the machine can see it")
	}
}

func TestValidate_ThePresetIsLoopbackOnlyWhenListeningThere(t *testing.T) {
	loopback := []string{"127.0.0.0/8", "::1/128"}
	for _, tt := range []struct {
		listen, networks string
		want             []string
	}{
		{"127.0.0.1:8080", "preset", loopback},
		{"127.9.9.9:0", "preset", loopback},
		{"[::1]:8080", "preset", loopback},
		{"localhost:8080", "preset", loopback},
		{"0.0.0.0:8080", "preset", nil},
		{":8080", "preset", nil},
		{"[::]:8080", "preset", nil},
		{"10.0.0.1:8080", "preset", nil},
		{"gateway.example.com:8080", "preset", nil},
		{"localhost.example.com:8080", "preset", nil},
		{"127.0.0.1:8080", "", nil},
		{"127.0.0.1:8080", "10.0.0.0/8", []string{"10.0.0.0/8"}},
		{"127.0.0.1:8080", "preset,10.1.2.3/8", []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8"}},
		{"0.0.0.0:8080", "preset,127.0.0.1/32,fd00::/8", []string{"127.0.0.1/32", "fd00::/8"}},
	} {
		cfg, err := load(t, "", nil, "--listen="+tt.listen, "--upstream-allowed-networks="+tt.networks)
		if err != nil {
			t.Errorf("%s with %q: %v", tt.listen, tt.networks, err)
			continue
		}
		var got []string
		for _, n := range cfg.AllowedNetworks {
			got = append(got, n.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s with %q (-want +got):\n%s", tt.listen, tt.networks, diff)
		}
		// Tests change settings and validate again: nothing may add up.
		if err := cfg.Validate(); err != nil || len(cfg.AllowedNetworks) != len(tt.want) {
			t.Errorf("%s with %q, validated again: %v, %v", tt.listen, tt.networks, cfg.AllowedNetworks, err)
		}
	}
}

func TestValidate_CertificatesOfCallers(t *testing.T) {
	pair := []string{"--tls-cert-file=tls.crt", "--tls-key-file=tls.key"}
	for _, tt := range []struct {
		name    string
		args    []string
		fault   string
		require bool
	}{
		{"none", nil, "", false},
		{"asked for", append(pair, "--tls-client-ca=ca.crt"), "", false},
		{"asked for by name", append(pair, "--tls-client-ca=ca.crt", "--tls-client-auth=request", "--tls-client-crl=ca.crl"), "", false},
		{"required", append(pair, "--tls-client-ca=ca.crt", "--tls-client-auth=require"), "", true},
		{"without TLS", []string{"--tls-client-ca=ca.crt"}, "tls.client_ca: callers show certificates over TLS alone; give tls.cert_file and tls.key_file too", false},
		{"with half of it", []string{"--tls-client-ca=ca.crt", "--tls-cert-file=tls.crt"}, "tls.key_file: must be given", false},
		{"required of no authority", append(pair, "--tls-client-auth=require"), "name their authorities with tls.client_ca", false},
		{"asked for otherwise", append(pair, "--tls-client-ca=ca.crt", "--tls-client-auth=maybe"), `tls.client_auth: "maybe" is not request or require`, false},
		{"revoked by no authority", append(pair, "--tls-client-crl=ca.crl"), "tls.client_crl: must be given with tls.client_ca", false},
	} {
		cfg, err := load(t, "", nil, tt.args...)
		if tt.fault != "" {
			wantFaults(t, err, tt.fault)
			continue
		}
		if err != nil || cfg.TLS.RequireClient() != tt.require {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestMirrorStatus_FollowsTheSetting(t *testing.T) {
	if mustLoad(t, "", nil).MirrorStatus() || !mustLoad(t, "", nil, "--errors-http-status=mirror").MirrorStatus() {
		t.Error("errors.http_status does not decide")
	}
}

func TestSecret_IsNeverPrinted(t *testing.T) {
	const text = "do-not-print-me-0123456789-0123456789"
	cfg := mustLoad(t, "", map[string]string{"SIGNALBOX_ADMIN_KEY": text})
	if string(cfg.AdminKey) != text {
		t.Fatalf("the secret itself is lost: %q", string(cfg.AdminKey))
	}
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		printed[verb+" of the secret"] = fmt.Sprintf(verb, cfg.AdminKey)
		printed[verb+" of a pointer"] = fmt.Sprintf(verb, &cfg.AdminKey)
		printed[verb+" of the settings"] = fmt.Sprintf(verb, cfg)
	}
	var out strings.Builder
	for name, handler := range map[string]slog.Handler{"text": slog.NewTextHandler(&out, nil), "json": slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).LogAttrs(t.Context(), slog.LevelInfo, "settings", slog.Any("secret", cfg.AdminKey), slog.Any("settings", cfg))
		printed["slog "+name] = out.String()
		out.Reset()
	}
	for name, v := range map[string]any{"secret": cfg.AdminKey, "settings": cfg, "map": map[string]config.Secret{"k": cfg.AdminKey}} {
		doc, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed["json of the "+name] = string(doc)
	}
	for how, got := range printed {
		if strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", text)) {
			t.Errorf("%s shows it: %s", how, got)
		}
	}
	if got := fmt.Sprint(cfg.AdminKey); got != "[redacted]" {
		t.Errorf("the secret prints as %q", got)
	}
}

func TestReference_IsWhatTheREADMESays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), config.Reference()) {
		t.Errorf("the README's table of settings is not the present one:\n%s", config.Reference())
	}
}
