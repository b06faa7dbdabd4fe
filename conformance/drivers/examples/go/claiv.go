// A small SDK for the Claiv Memory API, written from specs/claiv.yaml. It needs Go 1.19 or newer and
// no other modules. It is here to be driven by driver.go: an example of a client that keeps its
// contract. Nothing in it knows that it is being tested; waits go through Config.Sleep, as in any
// SDK whose authors test their own back-off.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// ClaivError is what every error of this package is or matches with errors.As.
type ClaivError struct {
	Message string `json:"-"`
	Cause   error  `json:"-"`
}

func (e *ClaivError) Error() string { return e.Message }
func (e *ClaivError) Unwrap() error { return e.Cause }

// ClaivTimeoutError says that no whole answer came within Config.Timeout.
type ClaivTimeoutError struct{ ClaivError }

// ClaivNetworkError says that the connection broke or never came about.
type ClaivNetworkError struct{ ClaivError }

// ClaivApiError is an answer of the server that is no success.
type ClaivApiError struct {
	ClaivError
	Status    int `json:"status"`
	Code      any `json:"code"`
	RequestID any `json:"request_id"`
	Details   any `json:"details"`
}

const (
	longest     = 64 << 20 // bytes of an answer that are read
	longestWait = 86400.0  // seconds that a server may ask for; beyond it the call fails
)

// Object is a JSON object with the names that it has on the wire.
type Object = map[string]any

// Config says how a Client works; zero values stand for the defaults.
type Config struct {
	APIKey, BaseURL string
	Timeout         float64               // seconds of one attempt, its body included; default 30
	MaxRetries      *int                  `json:"max-retries"` // default 2
	Sleep           func(seconds float64) `json:"-"`           // default time.Sleep
}

// Client calls the API; it may be used by several goroutines at once.
type Client struct {
	key, base string
	timeout   time.Duration
	retries   int
	sleep     func(float64)
	http      *http.Client
	closed    *atomic.Bool
}

// New returns a client. It fails without an API key.
func New(c Config) (*Client, error) {
	if c.APIKey == "" {
		return nil, &ClaivError{Message: "an API key is needed"}
	}
	made := &Client{key: c.APIKey, base: "https://api.claiv.io", timeout: 30 * time.Second, retries: 2, closed: &atomic.Bool{},
		sleep: func(s float64) { time.Sleep(time.Duration(s * float64(time.Second))) }}
	if c.BaseURL != "" {
		made.base = strings.TrimRight(c.BaseURL, "/")
	}
	if c.Timeout > 0 {
		made.timeout = time.Duration(c.Timeout * float64(time.Second))
	}
	if c.MaxRetries != nil {
		made.retries = *c.MaxRetries
	}
	if c.Sleep != nil {
		made.sleep = c.Sleep
	}
	made.http = &http.Client{
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return made, nil
}

// Waiting returns the same client with another way to wait between attempts, in seconds.
func (c *Client) Waiting(sleep func(seconds float64)) *Client {
	other := *c
	other.sleep = sleep
	return &other
}

// The methods of the document, in its order.
func (c *Client) Ingest(event Object) (any, error)   { return c.send("POST", "/v1/ingest", event) }
func (c *Client) Recall(request Object) (any, error) { return c.send("POST", "/v1/recall", request) }
func (c *Client) Forget(request Object) (any, error) { return c.send("POST", "/v1/forget", request) }
func (c *Client) RecallV2(r Object) (any, error)     { return c.send("POST", "/v2/recall", r) }
func (c *Client) ForgetV2(r Object) (any, error)     { return c.send("POST", "/v2/forget", r) }
func (c *Client) GetUsageLimits() (any, error)       { return c.send("GET", "/v1/usage/limits", nil) }
func (c *Client) HealthCheck() (any, error)          { return c.send("GET", "/healthz", nil) }
func (c *Client) GetUsageSummary(given Object) (any, error) {
	return c.send("GET", "/v1/usage/summary"+query(given), nil)
}
func (c *Client) GetUsageBreakdown(given Object) (any, error) {
	return c.send("GET", "/v1/usage/breakdown"+query(given), nil)
}
func (c *Client) ListDeletionReceipts(given Object) (any, error) {
	return c.send("GET", "/v1/deletion-receipts"+query(given), nil)
}
func (c *Client) GetDeletionReceipt(id string) (any, error) {
	if id == "" || id == "." || id == ".." { // URLs take dots away, and an empty one names nothing
		return nil, &ClaivError{Message: fmt.Sprintf("%q is no id", id)}
	}
	return c.send("GET", "/v1/deletion-receipts/"+url.PathEscape(id), nil)
}

// Close ends the client's connections; calls after it fail.
func (c *Client) Close() {
	c.closed.Store(true)
	c.http.CloseIdleConnections()
}

func query(given Object) string {
	values := url.Values{}
	for name, value := range given {
		if value != nil {
			values.Set(name, fmt.Sprint(value))
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

type response struct {
	status  int
	headers http.Header
	body    []byte
}

func (c *Client) send(method, path string, body Object) (any, error) {
	if c.closed.Load() {
		return nil, &ClaivError{Message: "the client is closed"}
	}
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, &ClaivError{"the request cannot be written as JSON", err}
		}
	}
	for attempt := int(0); ; attempt++ {
		got, err := c.once(method, path, sent)
		if err != nil {
			return nil, err
		}
		if got.status >= 200 && got.status < 300 {
			return decoded(got)
		}
		failure := c.failed(got)
		wish, asked := wished(got, failure.Details)
		again := got.status == 429 || (got.status >= 500 && got.status < 600)
		if !again || attempt >= c.retries || wish > longestWait {
			return nil, failure
		}
		if asked {
			c.sleep(wish + math.Min(5, wish/10)*rand.Float64()) // who were told the same come apart
		} else {
			c.sleep(backoff(attempt))
		}
	}
}

func (c *Client) once(method, path string, body []byte) (*response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &ClaivError{"the request cannot be made", err}
	}
	request.GetBody = nil // the transport sends nothing twice by itself
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if path != "/healthz" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	reply, err := c.http.Do(request)
	var read []byte
	if err == nil {
		defer reply.Body.Close()
		if reply.StatusCode == http.StatusSwitchingProtocols {
			return nil, &ClaivNetworkError{ClaivError{Message: "the server changed protocols"}}
		}
		read, err = io.ReadAll(io.LimitReader(reply.Body, longest+1))
	}
	var slow net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return nil, &ClaivTimeoutError{ClaivError{"the request timed out", err}}
	case err != nil:
		return nil, &ClaivNetworkError{ClaivError{"the request failed: " + err.Error(), err}}
	case len(read) > longest:
		return nil, &ClaivError{Message: "the answer is too long"}
	}
	return &response{reply.StatusCode, reply.Header, read}, nil
}

func backoff(attempt int) float64 {
	centre := 0.5 * math.Pow(2, float64(attempt))
	if centre >= 30 { // at the longest wait, still not all at once
		return 30 * (1 - rand.Float64()/4)
	}
	return math.Min(30, centre*(1+rand.Float64()/2))
}

var digits = regexp.MustCompile(`^[0-9]+$`)

// wished returns the seconds that the server asks to wait: Retry-After as seconds or date, or the
// same in the body.
func wished(got *response, details any) (float64, bool) {
	values := got.headers.Values("Retry-After")
	if len(values) == 0 {
		inside, _ := details.(Object)
		number, _ := inside["retry_after"].(json.Number)
		seconds, err := number.Float64()
		return seconds, err == nil && seconds >= 0
	}
	said := strings.TrimSpace(values[0])
	if digits.MatchString(said) {
		seconds, _ := strconv.ParseFloat(said, 64)
		return seconds, true
	}
	date, err := http.ParseTime(said)
	if err != nil {
		return 0, false
	}
	return math.Max(0, time.Until(date).Seconds()), true
}

func parsed(body []byte) (Object, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	if err := json.Unmarshal(body, new(any)); err != nil { // or a number that no float64 can hold
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var made Object
	if err := decoder.Decode(&made); err != nil {
		return nil, err
	}
	if made == nil {
		return nil, errors.New("null is no object")
	}
	return made, nil
}

func decoded(got *response) (any, error) {
	if got.status == 204 || len(got.body) == 0 {
		return nil, nil
	}
	made, err := parsed(got.body)
	if err != nil {
		return nil, &ClaivError{fmt.Sprintf("%d with a body that is no JSON object", got.status), err}
	}
	return made, nil
}

func (c *Client) failed(got *response) *ClaivApiError {
	body, _ := parsed(got.body)
	said, _ := body["error"].(Object)
	text, _ := said["message"].(string)
	if runes := []rune(text); len(runes) > 500 {
		text = string(runes[:500])
	}
	if text = strings.ReplaceAll(text, c.key, "***"); text == "" {
		text = "the server refused"
	}
	return &ClaivApiError{ClaivError{Message: fmt.Sprintf("%d: %s", got.status, text)}, got.status,
		said["code"], said["request_id"], said["details"]}
}
