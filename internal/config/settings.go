package config

import (
	"strings"
	"time"
)

// setting is one thing that can be set: by its key in the configuration file
// ("stream.idle"), by a flag ("--stream-idle") and by a variable
// ("SIGNALBOX_STREAM_IDLE"), the variable over the file and the flag over both.
type setting struct {
	key   string
	value any // the default, which also tells the type
	usage string
}

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

func (s setting) variable() string {
	return "SIGNALBOX_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// settings is every setting there is; the README's table is made from it.
var settings = []setting{
	{"listen", "127.0.0.1:8080", "address to listen on"},
	{"management_listen", "", "address of the management plane and metrics; empty means the one of --listen"},
	{"data_dir", ".signalbox", "folder of the local record, the keys and the private Postgres"},
	{"database_url", "", "Postgres to use, as a URL or key=value list; DATABASE_URL counts too; empty means a private one in the data folder"},
	{"public_url", "", "address of the gateway in agent cards; empty means the one that the caller used"},
	{"tls.cert_file", "", "certificate of the gateway, PEM, with its chain; read again when it changes; empty means no TLS"},
	{"tls.key_file", "", "key of the certificate, PEM"},
	{"tls.client_ca", "", "authorities of the certificates that callers may show instead of a key, PEM; read again when it changes; empty means that none is asked for"},
	{"tls.client_auth", "request", "request: callers may come without a certificate; require: the handshake fails without one, that of health probes too"},
	{"tls.client_crl", "", "lists of revoked certificates of callers, PEM or DER; read again when it changes; empty means none"},
	{"kek", "", "key-encryption key, as file:/path; its variable can hold the key itself; empty means kek.key in the data folder, made at the first start"},
	{"log.level", "info", "least level that is logged: debug, info, warn or error"},
	{"log.format", "auto", "text, json, or auto: text on a terminal"},
	{"drain_timeout", 30 * time.Second, "how long open calls may take when the gateway stops"},

	{"upstream.allowed_networks", []string{"preset"}, "loopback and private networks that agents may have addresses in, as prefixes; preset means loopback when --listen is on loopback, else none"},
	{"upstream.token_exchange_origins", []string{}, "origins of token endpoints, such as https://sts.example.com, that may see the tokens of all callers when an agent wants theirs exchanged; others see only tokens of their own issuer"},
	{"limits.request_bytes", 16 << 20, "largest request body"},
	{"limits.reply_bytes", 32 << 20, "largest reply of an agent"},
	{"limits.event_bytes", 8 << 20, "largest event of a stream"},
	{"limits.header_bytes", 64 << 10, "largest headers"},
	{"limits.slow_header", 10 * time.Second, "time that headers may take"},
	{"limits.slow_body", 10 * time.Second, "time that any body may take, before its rate counts"},
	{"limits.body_rate", 1 << 10, "bytes a second that a body must keep up with"},
	{"a2a.require_version", false, "refuse calls of A2A 1.0 that do not name their version in A2A-Version"},
	{"a2a.grpc_authority_suffix", "", "what follows the agent's name in authorities of gRPC, such as .agents.example.com; empty means that they name no agent"},
	{"unary.timeout", 15 * time.Minute, "how long an agent may take to answer"},
	{"stream.idle", 10 * time.Minute, "how long an agent's stream may be silent"},
	{"stream.orphan_timeout", 10 * time.Minute, "how long the stream of a send is read after its caller left"},
	{"stream.keep_alive", 15 * time.Second, "silence after which a comment is sent to the caller"},
	{"stream.header_delay", 2 * time.Second, "how long a stream's headers wait for the agent's"},

	{"admit.database_timeout", 250 * time.Millisecond, "how long a call may wait for Postgres, in the cases where it may"},
	{"snapshot.max_age", 15 * time.Minute, "how long a replica serves that cannot confirm its configuration; 0 means for ever"},
	{"audit.spool_bytes", 1 << 30, "room for records that are not in Postgres yet; new calls are refused when 90 % is used"},
	{"errors.http_status", "200", "HTTP status of refused JSON-RPC calls: 200, or mirror for 403, 429 and 503"},
	{"database.listen", true, "hear of changes by LISTEN; when false, by polling alone"},
	{"database.max_connections", 16, "connections to Postgres"},

	{"telemetry.otlp_endpoint", "", "URL of an OTLP collector for traces (OTEL_EXPORTER_OTLP_ENDPOINT counts too); empty means none"},
	{"telemetry.otlp_protocol", "http", "http or grpc"},

	{"testing.push_loopback", false, "let push addresses name loopback hosts and plain http; for tests only"},
}
