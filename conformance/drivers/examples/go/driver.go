// A driver for the SDK in claiv.go, by ../../PROTOCOL.md. For another SDK, change tables, `hello`, `open`.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const scale, longestPause = 0.001, 0.01 // real seconds for one second of back-off, and at most
// operation of the contract -> how flat arguments become a call
var operations = map[string]func(*Client, Object) (any, error){
	"ingest": (*Client).Ingest, "recall": (*Client).Recall, "forget": (*Client).Forget, "recall_v2": (*Client).RecallV2,
	"forget_v2": (*Client).ForgetV2, "receipts.list": (*Client).ListDeletionReceipts,
	"usage.summary": (*Client).GetUsageSummary, "usage.breakdown": (*Client).GetUsageBreakdown,
	"receipts.get": func(c *Client, o Object) (any, error) { return c.GetDeletionReceipt(fmt.Sprint(o["receipt_id"])) },
	"usage.limits": func(c *Client, _ Object) (any, error) { return c.GetUsageLimits() },
	"health":       func(c *Client, _ Object) (any, error) { return c.HealthCheck() },
}
var classes = map[string][]string{"ClaivError": {"error"}, "ClaivApiError": {"ClaivError", "error"},
	"ClaivTimeoutError": {"ClaivError", "error"}, "ClaivNetworkError": {"ClaivError", "error"}}

type request struct {
	ID                    json.Number
	Do, Client, Operation string
	URL                   string `json:"base_url"`
	Key                   string `json:"api_key"`
	Options               Config
	Arguments             Object
	Exceptions            []string
	Calls                 []request
	Concurrency           int
}

func now() float64 { // CLOCK_MONOTONIC in seconds: the harness compares it with its own
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return float64(at.Sec) + float64(at.Nsec)/1e9
}
func outcome(value any, err error) Object {
	if err == nil {
		return Object{"kind": "value", "value": value}
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*main.")
	return Object{"kind": "error", "error": Object{"name": name, "module": "claiv", "message": err.Error(), "text": err.Error(),
		"bases": append([]string{}, classes[name]...), "attributes": err, "cause": map[bool]any{true: fmt.Sprintf("%T", errors.Unwrap(err))}[errors.Unwrap(err) != nil]}}
}
func call(client *Client, asked request) Object {
	sleeps, started, made := []Object{}, now(), Object{"kind": "unsupported", "detail": "no such operation"}
	client = client.Waiting(func(seconds float64) {
		sleeps = append(sleeps, Object{"at": now(), "seconds": seconds})
		time.Sleep(time.Duration(math.Min(longestPause, seconds*scale) * 1e9))
	})
	if run := operations[asked.Operation]; run != nil {
		made = outcome(run(client, asked.Arguments))
	}
	return Object{"outcome": made, "started": started, "ended": now(), "sleeps": sleeps}
}
func hello(exceptions []string) Object {
	has, found, named := Object{}, Object{}, func(name string) Object { return Object{"modes": []string{"sync"}, "name": name} }
	for name := range operations {
		has[name] = named(name)
	}
	for _, name := range exceptions {
		known := classes[name] != nil
		found[name] = Object{"found": map[bool]any{true: "claiv." + name}[known], "exported": known, "bases": append([]string{}, classes[name]...)}
	}
	return Object{"protocol": 1, "driver": "go-example/1", "api": "claiv", "language": "go", "clients": Object{"sync": "Client"},
		"sdk": Object{"name": "claiv-go-example", "version": "1.0.0"}, "operations": has, "exceptions": found, "clock": "real",
		"options":    Object{"api-key": named("APIKey"), "base-url": named("BaseURL"), "timeout": named("Timeout"), "max-retries": named("MaxRetries")},
		"time_scale": scale, "longest_wait": longestPause, "records_sleeps": true, "context_manager": []string{"sync"}}
}
func answer(asked request, clients map[string]*Client) (string, Object) {
	switch client := clients[asked.Client]; {
	case asked.Do == "hello":
		return "hello", hello(asked.Exceptions)
	case asked.Do == "open":
		asked.Options.APIKey, asked.Options.BaseURL = asked.Key, asked.URL
		made, err := New(asked.Options)
		clients[asked.Client] = made
		return "outcome", Object{"outcome": outcome(nil, err)}
	case asked.Do == "call" && client != nil:
		return "call", call(client, asked)
	case asked.Do == "calls" && client != nil:
		ended, slots := make([]Object, len(asked.Calls)), make(chan bool, asked.Concurrency)
		for place := 0; place < len(ended)+asked.Concurrency; place++ {
			if slots <- true; place < len(ended) { // the last slots are free when all is done
				go func(place int) { ended[place] = call(client, asked.Calls[place]); <-slots }(place)
			}
		}
		return "calls", Object{"calls": ended}
	case asked.Do == "close" && client != nil:
		client.Close()
		delete(clients, asked.Client)
		return "outcome", Object{"outcome": outcome(nil, nil)}
	case asked.Do == "stop":
		return "stop", Object{}
	}
	return "problem", Object{"problem": fmt.Sprintf("cannot do %q with client %q", asked.Do, asked.Client)}
}
func main() {
	clients, lines := map[string]*Client{}, bufio.NewReader(os.Stdin)
	for line, err := lines.ReadString('\n'); err == nil; line, err = lines.ReadString('\n') {
		asked, decoder := request{ID: "0"}, json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		decoder.Decode(&asked)
		reply, made := answer(asked, clients)
		made["id"], made["reply"] = asked.ID, reply
		if json.NewEncoder(os.Stdout).Encode(made); reply == "stop" {
			return
		}
	}
}
