package httpauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	amzDate      = "20060102T150405Z"
	amzAlgorithm = "AWS4-HMAC-SHA256"
)

// sigV4 signs requests as AWS has it, version 4. Each is signed with its body, for its
// host, at its time.
type sigV4 struct {
	region, service                   string
	accessKeyID, secret, sessionToken string
	clock                             clock.Clock
}

// Sign signs the request as it stands: what is set later is not signed.
func (s *sigV4) Sign(req *http.Request, _ *identity.Principal) (*Token, error) {
	body, err := bodyHash(req)
	if err != nil {
		return nil, err
	}
	at := s.clock.Now().UTC().Format(amzDate)
	req.Header["X-Amz-Date"] = []string{at}
	if s.sessionToken != "" {
		req.Header["X-Amz-Security-Token"] = []string{s.sessionToken}
	}
	headers, signed := canonicalHeaders(req)
	canonical := strings.Join([]string{
		req.Method, canonicalPath(req.URL), canonicalQuery(req.URL), headers, signed, body,
	}, "\n")
	scope := at[:8] + "/" + s.region + "/" + s.service + "/aws4_request"
	toSign := strings.Join([]string{amzAlgorithm, at, scope, hexHash([]byte(canonical))}, "\n")
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{at[:8], s.region, s.service, "aws4_request", toSign} {
		key = hmacOf(key, part)
	}
	req.Header["Authorization"] = []string{fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		amzAlgorithm, s.accessKeyID, scope, signed, hex.EncodeToString(key))}
	return nil, nil
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text) // hashes take everything
	return h.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// bodyHash reads a copy of the request's body.
func bodyHash(req *http.Request) (string, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return hexHash(nil), nil
	}
	if req.GetBody == nil {
		return "", fmt.Errorf("sign a request: its body cannot be read twice")
	}
	body, err := req.GetBody()
	if err != nil {
		return "", fmt.Errorf("read the body to sign: %w", err)
	}
	defer func() { _ = body.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return "", fmt.Errorf("read the body to sign: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// canonicalHeaders returns the headers that are signed, each on a line, and their names.
// They are those that no proxy on the way may change: the host, the type of the body, and
// AWS's own.
func canonicalHeaders(req *http.Request) (lines, names string) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if port := req.URL.Port(); req.URL.Scheme == "https" && port == "443" || req.URL.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
		req.Host = host // what is sent must be what is signed
	}
	all := map[string]string{"host": host}
	order := []string{"host"}
	for name, values := range req.Header {
		lower := strings.ToLower(name)
		if lower != "content-type" && !strings.HasPrefix(lower, "x-amz-") {
			continue
		}
		folded := make([]string, len(values))
		for i, v := range values {
			folded[i] = strings.Join(strings.Fields(v), " ")
		}
		all[lower] = strings.Join(folded, ",")
		order = append(order, lower)
	}
	slices.Sort(order)
	var b strings.Builder
	for _, name := range order {
		b.WriteString(name + ":" + all[name] + "\n")
	}
	return b.String(), strings.Join(order, ";")
}

// canonicalPath escapes the path as it is sent once more, as every service but S3 wants it.
func canonicalPath(u *url.URL) string {
	sent := u.EscapedPath()
	clean := path.Clean("/" + sent)
	if strings.HasSuffix(sent, "/") && clean != "/" {
		clean += "/"
	}
	return escape(clean, true)
}

// canonicalQuery orders the parameters as they are sent.
func canonicalQuery(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{reescape(name), reescape(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	return strings.Join(joined, "&")
}

// reescape writes a part of a query as AWS escapes it, however it came.
func reescape(part string) string {
	plain, err := url.QueryUnescape(part)
	if err != nil {
		plain = part
	}
	return escape(plain, false)
}

// escape escapes all but the unreserved characters of RFC 3986.
func escape(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || keepSlash && c == '/' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
