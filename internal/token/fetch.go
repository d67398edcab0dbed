package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxDocument is how many bytes a discovery document or a key set may have.
	maxDocument = 1 << 20
	// defaultAge is how long keys are kept before they are fetched again, when the
	// answer does not say; minAge and maxAge bound what it says.
	defaultAge = 10 * time.Minute
	minAge     = time.Minute
	maxAge     = time.Hour
)

// fetchKeys fetches the keys of an issuer, and says how long they may be kept.
func fetchKeys(ctx context.Context, client *http.Client, k sourceKey) (*keySet, time.Duration, error) {
	from := k.jwksURL
	if from == "" {
		var err error
		if from, err = discover(ctx, client, k.url); err != nil {
			return nil, 0, err
		}
	}
	if err := CheckURL(k.url, from); err != nil {
		return nil, 0, fmt.Errorf("where the keys are: %w", err)
	}
	body, header, err := get(ctx, client, from)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	set, err := parseKeySet(body)
	if err != nil {
		return nil, 0, err
	}
	return set, age(header), nil
}

// discover asks the issuer's discovery document where its keys are.
func discover(ctx context.Context, client *http.Client, issuer string) (string, error) {
	if err := CheckURL(issuer, issuer); err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	body, _, err := get(ctx, client, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("fetch the discovery document: %w", err)
	}
	document, err := readObject(body)
	if err != nil {
		return "", fmt.Errorf("the discovery document %w", err)
	}
	if document["issuer"] != issuer {
		return "", errors.New("the discovery document is of another issuer")
	}
	keys, ok := document["jwks_uri"].(string)
	if !ok {
		return "", errors.New("the discovery document does not say where the keys are")
	}
	return keys, nil
}

// CheckURL says why documents of an issuer may not be fetched from an address. It must
// have https; http only where both the issuer and it are on this machine. Whom a name
// stands for is decided when it is dialled.
func CheckURL(issuer, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("it is not a URL, or one with a user or a fragment")
	}
	if u.Scheme == "https" {
		return nil
	}
	of, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" || of.Scheme != "http" || !loopback(u) || !loopback(of) {
		return errors.New("it has to begin with https://")
	}
	return nil
}

func loopback(u *url.URL) bool {
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// get fetches a document. Nothing of it is in errors.
func get(ctx context.Context, client *http.Client, address string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the answer was HTTP %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxDocument {
		return nil, nil, errors.New("the answer is longer than 1 MiB")
	}
	return body, res.Header, nil
}

// age returns how long an answer may be kept.
func age(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(header.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minAge
		case "max-age":
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			if err != nil {
				continue
			}
			return min(max(time.Duration(seconds)*time.Second, minAge), maxAge)
		}
	}
	return defaultAge
}
