package systems

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// wireObject is the target's name of a kind of object: there, a register is one
// with or without compare-and-set.
func wireObject(object string) string {
	if object == "cas-register" {
		return "register"
	}
	return object
}

// has reports whether the protocol has these operations on a kind of object.
func (p Protocol) has(object string, fs ...history.F) bool {
	return p.lacks(object, fs) == ""
}

// lacks returns the first of the operations that the protocol does not have.
func (p Protocol) lacks(object string, fs []history.F) history.F {
	for _, f := range fs {
		if !slices.Contains(p.Objects[object], f) {
			return f
		}
	}
	return ""
}

// supports says in a sentence why a workload over this object cannot run. Some
// objects of workloads are made of others.
func (p Protocol) supports(object string, fs []history.F) error {
	refuse := func(what string) error {
		return fmt.Errorf("protocol %s has no %s: %s", p.Name, what, p.Missing)
	}
	switch object {
	case "ids":
		if p.has("lock", "acquire", "release") || p.has("txn", "txn") && !p.Interactive {
			return nil
		}
		return refuse("object that gives out ids")
	case "session":
		if p.sessionObject() != "" {
			return nil
		}
		return refuse("register or log for sessions")
	case "fenced":
		if f := p.lacks("lock", []history.F{"acquire"}); f != "" {
			return refuse(string(f) + " on a lock")
		}
		fs = []history.F{"read", "write"}
	case "txn-list":
		if p.Interactive && !p.has("list", "append", "read") {
			return refuse("append on a list")
		}
		object = "txn"
	}
	object = wireObject(object)
	if f := p.lacks(object, fs); f != "" {
		if object == "txn" {
			return refuse("transactions")
		}
		return refuse(fmt.Sprintf("%s on a %s", f, object))
	}
	return nil
}

// sessionObject is what sessions read and write, "" if there is nothing.
func (p Protocol) sessionObject() string {
	switch {
	case p.has("register", "read", "write"):
		return "register"
	case p.has("log", "append", "read"):
		return "log"
	default:
		return ""
	}
}

func opURL(endpoint string) string { return "http://" + endpoint + "/v1/op" }

func (r *reference) newClient(url, object string) referenceClient {
	c := referenceClient{url: url, object: object, transport: r.opts.Transport}
	if c.transport == nil {
		// Each client has connections of its own: a new process must not
		// inherit one that still waits for an answer to the old.
		c.transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			MaxIdleConnsPerHost: 1,
			DisableCompression:  true,
		}
	}
	return c
}

// Open implements System.
func (r *reference) Open(
	_ context.Context, endpoints []string, object string,
) (workload.Client, error) {
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("open a client: no endpoint")
	}
	urls := make([]string, len(endpoints))
	for i, e := range endpoints {
		urls[i] = opURL(e)
	}
	c := r.newClient(urls[0], wireObject(object))
	switch object {
	case "txn", "txn-list":
		if !r.protocol.Interactive {
			return &txnClient{c}, nil
		}
		kind := "register"
		if object == "txn-list" {
			kind = "list"
		}
		return &interactiveClient{c, kind, r.opts.TxnPause}, nil
	case "fenced":
		return &fencedClient{c}, nil
	case "ids":
		if r.protocol.has("lock", "acquire", "release") {
			return &lockIDs{c}, nil
		}
		return &counterIDs{c}, nil
	case "session":
		c.object = r.protocol.sessionObject()
		return &movingClient{referenceClient: c, urls: urls}, nil
	default:
		return &c, nil
	}
}

// probes are operations that change nothing, by the kind of object.
func probes() []history.Event {
	return []history.Event{
		{Key: "register", F: "read"}, {Key: "set", F: "read"}, {Key: "counter", F: "read"},
		{Key: "list", F: "read"}, {Key: "log", F: "read"}, {Key: "fenced", F: "read"},
		{Key: "lock", F: "read"}, {Key: "decide", F: "ask"},
	}
}

// Probe reads something that nobody has written, by the first operation that the
// protocol has.
func (r *reference) Probe(ctx context.Context, endpoint string) error {
	object, op := "txn", history.Event{F: "txn", Key: "probe", Value: history.Steps(
		history.Step{F: history.StepRead, Key: "probe"})}
	for _, p := range probes() {
		if r.protocol.has(string(p.Key), p.F) {
			object, op = string(p.Key), history.Event{F: p.F, Key: "probe"}
			break
		}
	}
	client, err := r.Open(ctx, []string{endpoint}, object)
	if err != nil {
		return err
	}
	_, err = client.Invoke(ctx, op)
	if closeErr := client.Close(); err == nil {
		err = closeErr
	}
	return err
}
