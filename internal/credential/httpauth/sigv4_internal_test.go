package httpauth

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fixed is a clock that stands still.
type fixed time.Time

func (f fixed) Now() time.Time { return time.Time(f) }

// The signatures are those of the test suite that AWS publishes for its signature,
// version 4.
func TestSigV4_SignsAsThePublishedSuite(t *testing.T) {
	at, err := time.Parse(amzDate, "20150830T123600Z")
	if err != nil {
		t.Fatal(err)
	}
	s := &sigV4{
		region: "us-east-1", service: "service", accessKeyID: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", clock: fixed(at),
	}
	for name, tc := range map[string]struct {
		method, target, body, contentType string
		signed, signature                 string
	}{
		"get-vanilla":       {method: "GET", target: "/", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":      {method: "POST", target: "/", signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"query-order-key":   {method: "GET", target: "/?Param2=value2&Param1=value1", signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"query-order-value": {method: "GET", target: "/?Param1=value2&Param1=value1", signature: "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
		"query-empty-key":   {method: "GET", target: "/?Param1=value1", signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"post-x-www-form-urlencoded": {
			method: "POST", target: "/", body: "Param1=value1", contentType: "application/x-www-form-urlencoded",
			signed: "content-type;host;x-amz-date", signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
		},
		"get-slashes":       {method: "GET", target: "//example//", signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
		"get-relative":      {method: "GET", target: "/example/..", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-slash-pointed": {method: "GET", target: "/./example", signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
	} {
		t.Run(name, func(t *testing.T) {
			var body io.Reader
			if tc.body != "" {
				body = strings.NewReader(tc.body)
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "https://example.amazonaws.com"+tc.target, body)
			if err != nil {
				t.Fatal(err)
			}
			// What is not part of the suite must not count: proxies on the way may change it.
			req.Header.Set("User-Agent", "signalbox")
			req.Header.Set("Traceparent", "00-x")
			if tc.contentType != "" {
				req.Header.Set("Content-Type", tc.contentType)
			}
			if _, err := s.Sign(req, nil); err != nil {
				t.Fatal(err)
			}
			signed := tc.signed
			if signed == "" {
				signed = "host;x-amz-date"
			}
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + signed + ", Signature=" + tc.signature
			if got := req.Header.Get("Authorization"); got != want {
				t.Errorf("signed with\n%s, want\n%s", got, want)
			}
			if tc.body != "" {
				left, err := io.ReadAll(req.Body)
				if err != nil || string(left) != tc.body {
					t.Errorf("the body that is left to send is %q, %v", left, err)
				}
			}
		})
	}
}

func TestSigV4_SignsSessionTokenHostAndEscapedPath(t *testing.T) {
	s := &sigV4{region: "r", service: "s", accessKeyID: "A", secret: "k", sessionToken: "session", clock: fixed(time.Unix(0, 0))}
	sign := func(target, body string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(req, nil); err != nil {
			t.Fatal(err)
		}
		if req.Header.Get("X-Amz-Security-Token") != "session" || !strings.Contains(req.Header.Get("Authorization"), "SignedHeaders=host;x-amz-date;x-amz-security-token,") {
			t.Errorf("signed %v", req.Header)
		}
		return req.Header.Get("Authorization")
	}
	// An identifier of AWS in a path is escaped on the way, and once more to be signed.
	const escaped = "https://h/runtimes/arn%3Aaws%3Aruntime%2Fx/invocations"
	one := sign(escaped, "a")
	for name, other := range map[string]string{
		"another path": sign("https://h/runtimes/arn:aws:runtime/x/invocations", "a"), "another host": sign("https://i/runtimes/arn%3Aaws%3Aruntime%2Fx/invocations", "a"),
		"another body": sign(escaped, "b"), "another query": sign(escaped+"?q=1", "a"),
	} {
		if other == one {
			t.Errorf("%s has the same signature", name)
		}
	}
	if again := sign(escaped, "a"); again != one {
		t.Error("the same request has another signature")
	}
	if port := sign("https://h:443/runtimes/arn%3Aaws%3Aruntime%2Fx/invocations", "a"); port != one {
		t.Error("the port of the scheme is signed, which servers leave out")
	}
}
