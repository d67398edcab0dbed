package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// field returns the field of a Config that a key names.
func field(t *testing.T, cfg *Config, key string) any {
	t.Helper()
	v := reflect.ValueOf(cfg).Elem()
	for part := range strings.SplitSeq(key, ".") {
		found := false
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("koanf") == part {
				v, found = v.Field(i), true
				break
			}
		}
		if !found {
			t.Fatalf("setting %s has no field", key)
		}
	}
	if v.CanInt() && v.Type() != reflect.TypeFor[time.Duration]() {
		return int(v.Int())
	}
	if v.Type() == reflect.TypeFor[Secret]() {
		return v.String()
	}
	return v.Interface()
}

// other makes the n-th value that is not the default of a setting.
func other(s setting, n int) (text string, value any) {
	switch v := s.value.(type) {
	case int:
		return fmt.Sprint(v + n), v + n
	case bool:
		b := v != (n%2 == 1)
		return fmt.Sprint(b), b
	case time.Duration:
		d := v + time.Duration(n)*time.Second
		return d.String(), d
	case []string:
		if s.key == "upstream.token_exchange_origins" {
			return fmt.Sprintf("https://sts-%d.example,https://sts.example:%d", n, n), []string{fmt.Sprintf("https://sts-%d.example", n), fmt.Sprintf("https://sts.example:%d", n)}
		}
		return fmt.Sprintf("10.%d.0.0/16,10.%d.1.0/24", n, n), []string{fmt.Sprintf("10.%d.0.0/16", n), fmt.Sprintf("10.%d.1.0/24", n)}
	}
	choices := map[string][]string{
		"listen": {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, "management_listen": {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
		"public_url": {"https://a.example", "https://b.example", "https://c.example"},
		"log.level":  {"debug", "warn", "error"}, "log.format": {"text", "json", "text"},
		"a2a.grpc_authority_suffix": {".a.example", ".b.example", ".c.example"},
		"errors.http_status":        {"mirror", "200", "mirror"}, "telemetry.otlp_protocol": {"grpc", "http", "grpc"},
		"tls.client_auth": {"require", "request", "require"},
	}
	text = fmt.Sprintf("value-%d", n)
	if c, ok := choices[s.key]; ok {
		text = c[n-1]
	}
	return text, text
}

// nested writes a setting as a line or two of YAML.
func nested(key, value string) string {
	group, name, ok := strings.Cut(key, ".")
	if !ok {
		return fmt.Sprintf("%s: %s\n", key, value)
	}
	return fmt.Sprintf("%s:\n  %s: %s\n", group, name, value)
}

func TestSettings_EachIsSetByFileVariableAndFlag(t *testing.T) {
	for _, s := range settings {
		for _, name := range []string{s.variable(), "SIGNALBOX_CONFIG", "SIGNALBOX_ADMIN_KEY", "DATABASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
			if old, ok := os.LookupEnv(name); ok {
				t.Setenv(name, old) // put back after the test
				if err := os.Unsetenv(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, s := range settings {
		t.Run(s.key, func(t *testing.T) {
			want := func(how string, want any, args ...string) {
				t.Helper()
				flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
				AddFlags(flags)
				if err := flags.Parse(args); err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				cfg, err := Load(flags)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if diff := cmp.Diff(want, field(t, cfg, s.key)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
			want("nothing", s.value)
			// Some must not stand alone.
			for _, other := range map[string][]string{
				"tls.cert_file":   {"SIGNALBOX_TLS_KEY_FILE"},
				"tls.key_file":    {"SIGNALBOX_TLS_CERT_FILE"},
				"tls.client_ca":   {"SIGNALBOX_TLS_KEY_FILE", "SIGNALBOX_TLS_CERT_FILE"},
				"tls.client_auth": {"SIGNALBOX_TLS_KEY_FILE", "SIGNALBOX_TLS_CERT_FILE", "SIGNALBOX_TLS_CLIENT_CA"},
				"tls.client_crl":  {"SIGNALBOX_TLS_KEY_FILE", "SIGNALBOX_TLS_CERT_FILE", "SIGNALBOX_TLS_CLIENT_CA"},
			}[s.key] {
				t.Setenv(other, "other.pem")
			}
			path := filepath.Join(t.TempDir(), "c.yaml")
			text, value := other(s, 1)
			yaml := text
			if _, list := s.value.([]string); list {
				yaml = "[" + text + "]"
			}
			if err := os.WriteFile(path, []byte(nested(s.key, yaml)), 0o600); err != nil {
				t.Fatal(err)
			}
			want("the file", value, "--config="+path)
			text, value = other(s, 2)
			t.Setenv(s.variable(), text)
			want("the variable over the file", value, "--config="+path)
			text, value = other(s, 3)
			want("the flag over both", value, "--config="+path, "--"+s.flag()+"="+text)
		})
	}
}

func TestSettings_EveryFieldIsASettingAndEveryNameIsThereOnce(t *testing.T) {
	names := map[string]string{}
	for _, s := range settings {
		for _, name := range []string{s.key, "--" + s.flag(), s.variable()} {
			if was, ok := names[name]; ok && was != s.key {
				t.Errorf("%s is a name of both %s and %s", name, was, s.key)
			}
			names[name] = s.key
		}
		if s.usage == "" || !strings.Contains(Reference(), "`"+s.key+"`") {
			t.Errorf("%s is not described", s.key)
		}
	}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for f := range typ.Fields() {
			key := f.Tag.Get("koanf")
			if key == "-" {
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				walk(prefix+key+".", f.Type)
				continue
			}
			if _, ok := names[prefix+key]; !ok {
				t.Errorf("field %s cannot be set", prefix+key)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}
