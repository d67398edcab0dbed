// Package config reads the gateway's settings from flags, variables and a file, and
// checks them all before anything starts.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Secret is a text that is never printed.
type Secret string

const redacted = "[redacted]"

// String hides the secret.
func (s Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return redacted }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Config is every setting of a gateway.
type Config struct {
	Listen           string        `koanf:"listen"`
	ManagementListen string        `koanf:"management_listen"`
	DataDir          string        `koanf:"data_dir"`
	DatabaseURL      Secret        `koanf:"database_url"` // most carry a password
	PublicURL        string        `koanf:"public_url"`
	DrainTimeout     time.Duration `koanf:"drain_timeout"`
	KEK              Secret        `koanf:"kek"` // may be the key itself, out of its variable
	Log              Log           `koanf:"log"`
	TLS              TLS           `koanf:"tls"`
	A2A              A2A           `koanf:"a2a"`
	Upstream         Upstream      `koanf:"upstream"`
	Limits           Limits        `koanf:"limits"`
	Unary            Unary         `koanf:"unary"`
	Stream           Stream        `koanf:"stream"`
	Admit            Admit         `koanf:"admit"`
	Snapshot         Snapshot      `koanf:"snapshot"`
	Audit            Audit         `koanf:"audit"`
	Errors           Errors        `koanf:"errors"`
	Database         Database      `koanf:"database"`
	Telemetry        Telemetry     `koanf:"telemetry"`
	Testing          Testing       `koanf:"testing"`

	// AdminKey is the admin key of SIGNALBOX_ADMIN_KEY; empty means that one is made.
	// It has no flag: arguments are seen by every process of a machine.
	AdminKey Secret `koanf:"-"`
	// KEKVariable is SIGNALBOX_KEK, which may hold the key-encryption key itself.
	KEKVariable Secret `koanf:"-"`
	// AllowedNetworks are the parsed networks of Upstream.
	AllowedNetworks []netip.Prefix `koanf:"-"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
}

// TLS says which certificate the gateway has, and whose it accepts of callers.
type TLS struct {
	CertFile   string `koanf:"cert_file"`
	KeyFile    string `koanf:"key_file"`
	ClientCA   string `koanf:"client_ca"`
	ClientAuth string `koanf:"client_auth"` // "request", which "" means too, or "require"
	ClientCRL  string `koanf:"client_crl"`
}

// RequireClient tells whether callers must show a certificate.
func (t TLS) RequireClient() bool { return t.ClientAuth == "require" }

// A2A says how calls are read.
type A2A struct {
	RequireVersion      bool   `koanf:"require_version"`
	GRPCAuthoritySuffix string `koanf:"grpc_authority_suffix"`
}

// Upstream says where agents may be.
type Upstream struct {
	AllowedNetworks []string `koanf:"allowed_networks"`
	// TokenExchangeOrigins are checked and in their one form after Validate.
	TokenExchangeOrigins []string `koanf:"token_exchange_origins"`
}

// Limits bounds what is read.
type Limits struct {
	RequestBytes int64         `koanf:"request_bytes"`
	ReplyBytes   int64         `koanf:"reply_bytes"`
	EventBytes   int           `koanf:"event_bytes"`
	HeaderBytes  int           `koanf:"header_bytes"`
	SlowHeader   time.Duration `koanf:"slow_header"`
	SlowBody     time.Duration `koanf:"slow_body"`
	BodyRate     int64         `koanf:"body_rate"`
}

// Unary bounds calls with one reply.
type Unary struct {
	Timeout time.Duration `koanf:"timeout"`
}

// Stream bounds streams.
type Stream struct {
	Idle          time.Duration `koanf:"idle"`
	OrphanTimeout time.Duration `koanf:"orphan_timeout"`
	KeepAlive     time.Duration `koanf:"keep_alive"`
	HeaderDelay   time.Duration `koanf:"header_delay"`
}

// Admit bounds what a call waits for before it is sent on.
type Admit struct {
	DatabaseTimeout time.Duration `koanf:"database_timeout"`
}

// Snapshot says how long an unconfirmed configuration is served.
type Snapshot struct {
	MaxAge time.Duration `koanf:"max_age"`
}

// Audit bounds the local record.
type Audit struct {
	SpoolBytes int64 `koanf:"spool_bytes"`
}

// Errors says how refusals are sent.
type Errors struct {
	HTTPStatus string `koanf:"http_status"`
}

// Database says how Postgres is used.
type Database struct {
	Listen         bool  `koanf:"listen"`
	MaxConnections int32 `koanf:"max_connections"`
}

// Telemetry says where traces go.
type Telemetry struct {
	OTLPEndpoint string `koanf:"otlp_endpoint"`
	OTLPProtocol string `koanf:"otlp_protocol"`
}

// Testing opens what only tests need.
type Testing struct {
	PushLoopback bool `koanf:"push_loopback"`
}

// configFlag names the configuration file.
const configFlag = "config"

// AddFlags defines a flag for each setting.
func AddFlags(flags *pflag.FlagSet) {
	flags.String(configFlag, os.Getenv("SIGNALBOX_CONFIG"), "configuration file in YAML")
	for _, s := range settings {
		usage := s.usage + " (" + s.variable() + ")"
		switch v := s.value.(type) {
		case string:
			flags.String(s.flag(), v, usage)
		case int:
			flags.Int64(s.flag(), int64(v), usage)
		case bool:
			flags.Bool(s.flag(), v, usage)
		case time.Duration:
			flags.Duration(s.flag(), v, usage)
		case []string:
			flags.StringSlice(s.flag(), v, usage)
		}
	}
}

// Load reads the settings and returns all that is wrong with them at once. Flags may
// be nil, or have only some of those of [AddFlags].
func Load(flags *pflag.FlagSet) (*Config, error) {
	if flags == nil {
		flags = pflag.NewFlagSet("", pflag.ContinueOnError)
	}
	k := koanf.New(".")
	for _, s := range settings {
		if err := k.Set(s.key, s.value); err != nil {
			return nil, fmt.Errorf("set the default of %s: %w", s.key, err)
		}
	}
	var errs []error
	path := os.Getenv("SIGNALBOX_CONFIG")
	if f := flags.Lookup(configFlag); f != nil {
		path = f.Value.String()
	}
	if path != "" {
		if err := loadFile(k, path); err != nil {
			errs = append(errs, err)
		}
	}
	for _, s := range settings {
		if text, ok := os.LookupEnv(s.variable()); ok {
			if err := set(k, s, text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.variable(), err))
			}
		}
		if f := flags.Lookup(s.flag()); f != nil && f.Changed {
			text := f.Value.String()
			if _, list := s.value.([]string); list {
				text = strings.Trim(text, "[]")
			}
			if err := set(k, s, text); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", s.flag(), err))
			}
		}
	}
	var cfg Config
	if err := k.Unmarshal("", &cfg); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	cfg.AdminKey = Secret(os.Getenv("SIGNALBOX_ADMIN_KEY"))
	cfg.KEKVariable = Secret(os.Getenv("SIGNALBOX_KEK"))
	if cfg.DatabaseURL == "" {
		cfg.DatabaseURL = Secret(os.Getenv("DATABASE_URL"))
	}
	if cfg.Telemetry.OTLPEndpoint == "" {
		cfg.Telemetry.OTLPEndpoint = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if err := errors.Join(append(errs, cfg.Validate())...); err != nil {
		return nil, err
	}
	return &cfg, nil
}

func loadFile(k *koanf.Koanf, path string) error {
	given := koanf.New(".")
	if err := given.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("read configuration file %s: %w", path, err)
	}
	var errs []error
	for _, key := range given.Keys() {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		if i < 0 {
			errs = append(errs, fmt.Errorf("configuration file %s: there is no setting %q", path, key))
			continue
		}
		text := fmt.Sprint(given.Get(key))
		if _, list := settings[i].value.([]string); list {
			text = strings.Join(given.Strings(key), ",")
		}
		if err := set(k, settings[i], text); err != nil {
			errs = append(errs, fmt.Errorf("configuration file %s: %s: %w", path, key, err))
		}
	}
	return errors.Join(errs...)
}

// set reads a text as the type of a setting.
func set(k *koanf.Koanf, s setting, text string) error {
	var value any
	var err error
	switch s.value.(type) {
	case string:
		value = text
	case int:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		value = n
	case bool:
		var b bool
		b, err = strconv.ParseBool(text)
		value = b
	case time.Duration:
		value, err = time.ParseDuration(text)
	case []string:
		list := []string{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		value = list
	}
	if err != nil {
		return fmt.Errorf("%q is no %s", text, kind(s.value))
	}
	return k.Set(s.key, value)
}

func kind(v any) string {
	switch v.(type) {
	case int:
		return "whole number"
	case bool:
		return "true or false"
	case time.Duration:
		return `duration such as "250ms" or "15m"`
	default:
		return "text"
	}
}

// minSpoolBytes is room for some thousand calls.
const minSpoolBytes = 4 << 20

// MirrorStatus tells whether refusals have an HTTP status of their own.
func (c *Config) MirrorStatus() bool { return c.Errors.HTTPStatus == "mirror" }

// Validate reports every fault at once and parses what needs it.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for name, address := range map[string]string{"listen": c.Listen, "management_listen": c.ManagementListen} {
		if address == "" && name == "management_listen" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			bad("%s: %q is no address such as 127.0.0.1:8080", name, address)
		}
	}
	if c.DataDir == "" {
		bad("data_dir: must not be empty")
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
			bad("public_url: %q is no address such as https://agents.example.com", c.PublicURL)
		}
	}
	if c.TLS.CertFile != "" && c.TLS.KeyFile == "" {
		bad("tls.key_file: must be given with tls.cert_file")
	}
	if c.TLS.KeyFile != "" && c.TLS.CertFile == "" {
		bad("tls.cert_file: must be given with tls.key_file")
	}
	if c.TLS.ClientCA != "" && c.TLS.CertFile == "" && c.TLS.KeyFile == "" {
		bad("tls.client_ca: callers show certificates over TLS alone; give tls.cert_file and tls.key_file too")
	}
	switch c.TLS.ClientAuth {
	case "", "request":
	case "require":
		if c.TLS.ClientCA == "" {
			bad("tls.client_auth: to require certificates of callers, name their authorities with tls.client_ca")
		}
	default:
		bad("tls.client_auth: %q is not request or require", c.TLS.ClientAuth)
	}
	if c.TLS.ClientCRL != "" && c.TLS.ClientCA == "" {
		bad("tls.client_crl: must be given with tls.client_ca")
	}
	if suffix := c.A2A.GRPCAuthoritySuffix; suffix != "" && (len(suffix) < 2 || suffix[0] != '.' || strings.Trim(suffix, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "") {
		bad("a2a.grpc_authority_suffix: %q is no domain such as .agents.example.com", suffix)
	}
	if c.AdminKey != "" && len(c.AdminKey) < 32 {
		bad("SIGNALBOX_ADMIN_KEY: must have 32 characters or more")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level: %q is not debug, info, warn or error", c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		bad("log.format: %q is not auto, text or json", c.Log.Format)
	}
	if c.Errors.HTTPStatus != "200" && c.Errors.HTTPStatus != "mirror" {
		bad("errors.http_status: %q is not 200 or mirror", c.Errors.HTTPStatus)
	}
	if c.Telemetry.OTLPProtocol != "http" && c.Telemetry.OTLPProtocol != "grpc" {
		bad("telemetry.otlp_protocol: %q is not http or grpc", c.Telemetry.OTLPProtocol)
	}
	for name, n := range map[string]int64{
		"limits.request_bytes": c.Limits.RequestBytes, "limits.reply_bytes": c.Limits.ReplyBytes,
		"limits.event_bytes": int64(c.Limits.EventBytes), "limits.header_bytes": int64(c.Limits.HeaderBytes),
		"limits.body_rate": c.Limits.BodyRate, "database.max_connections": int64(c.Database.MaxConnections),
		"limits.slow_header": int64(c.Limits.SlowHeader), "limits.slow_body": int64(c.Limits.SlowBody),
		"unary.timeout": int64(c.Unary.Timeout), "stream.idle": int64(c.Stream.Idle),
		"stream.orphan_timeout": int64(c.Stream.OrphanTimeout), "stream.keep_alive": int64(c.Stream.KeepAlive),
		"stream.header_delay": int64(c.Stream.HeaderDelay), "admit.database_timeout": int64(c.Admit.DatabaseTimeout),
	} {
		if n <= 0 {
			bad("%s: must be more than 0", name)
		}
	}
	if c.Database.MaxConnections > 10_000 {
		bad("database.max_connections: must be at most 10000")
	}
	if c.Audit.SpoolBytes < minSpoolBytes {
		bad("audit.spool_bytes: must be at least %d", minSpoolBytes)
	}
	if c.Snapshot.MaxAge < 0 || c.DrainTimeout < 0 {
		bad("snapshot.max_age and drain_timeout: must not be negative")
	}
	c.AllowedNetworks = nil
	for _, n := range c.Upstream.AllowedNetworks {
		if n == "preset" {
			if onLoopback(c.Listen) {
				c.AllowedNetworks = append(c.AllowedNetworks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			}
			continue
		}
		prefix, err := netip.ParsePrefix(n)
		if err != nil {
			bad("upstream.allowed_networks: %q is no network such as 10.0.0.0/8", n)
			continue
		}
		c.AllowedNetworks = append(c.AllowedNetworks, prefix.Masked())
	}
	for i, given := range c.Upstream.TokenExchangeOrigins {
		u, err := url.Parse(given)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.TrimRight(given, "/") != "https://"+u.Host {
			bad("upstream.token_exchange_origins: %q is no origin such as https://sts.example.com", given)
			continue
		}
		c.Upstream.TokenExchangeOrigins[i] = strings.TrimSuffix("https://"+strings.ToLower(u.Host), ":443")
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Reference returns the settings as a Markdown table, for the README.
func Reference() string {
	var b strings.Builder
	b.WriteString("| in the file | default | what |\n| --- | --- | --- |\n")
	for _, s := range settings {
		value := fmt.Sprintf("`%v`", s.value)
		if s.value == "" {
			value = "(empty)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.key, value, s.usage)
	}
	return b.String()
}
