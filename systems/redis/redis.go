// Package redis is Redis as most people run it for availability: a primary, replicas that
// follow it asynchronously, and a Sentinel beside each of them that promotes a replica when
// enough Sentinels miss the primary.
//
// The client finds the primary as Redis asks clients to: it asks Sentinels where it is,
// makes sure by ROLE that it is one, and asks again whenever its connection has ended.
// docs/systems/redis.md says what is claimed, and which errors prove that nothing happened.
package redis

import (
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/systems/native"
)

//go:embed redis.yaml
var declaration string

// System returns Redis with Sentinel.
func System() native.System {
	return native.System{
		Name:     "redis",
		Doc:      "Redis: a primary, asynchronous replicas, and Sentinels that replace it.",
		Settings: settings(),
		Declare:  declare,
		Client:   func(v native.Values) (native.Client, error) { return newClient(v) },
	}
}

func settings() []native.Setting {
	return []native.Setting{
		{
			Name: "claim", Default: "documented",
			Values: []string{"documented", "durable", "linearizable"},
			Doc: "What is held against it: what its documentation promises; that acknowledged " +
				"elements are there in the end, whatever fails; or linearizability, whatever fails.",
		},
		{
			Name: "wait", Default: "0",
			Doc: "A write counts as done when WAIT says that so many replicas have it; by fewer " +
				"its outcome is unknown.",
		},
		{
			Name: "wait-reads", Default: "yes", Values: []string{"yes", "no"},
			Doc: "Whether what is read at the primary has to be there, too; else a read fails.",
		},
		{
			Name: "wait-timeout", Default: "500", Doc: "How many milliseconds WAIT waits.",
		},
		{
			Name: "reads", Default: "primary", Values: []string{"primary", "local"},
			Doc: "Where one reads: at the primary, or at the node that a client is with.",
		},
		{
			Name: "persistence", Default: "none", Values: []string{"none", "aof"},
			Doc: "Whether writes go to an append-only file.",
		},
		{
			Name: "fsync", Default: "everysec", Values: []string{"always", "everysec", "no"},
			Doc: "When the append-only file is synced.",
		},
		{
			Name: "min-replicas", Default: "0",
			Doc: "The primary refuses writes when it has heard of fewer replicas for ten seconds.",
		},
		{
			Name: "down-after", Default: "2000",
			Doc: "After how many milliseconds of silence a Sentinel thinks that a node is down.",
		},
		{
			Name: "failover-timeout", Default: "10000",
			Doc: "Milliseconds; Sentinels wait twice as long before they try the same failover again.",
		},
		{
			Name: "master", Default: "mymaster", Doc: "What Sentinels call the primary and its replicas.",
		},
		{Name: "bin", Default: "redis-server", Program: true, Doc: "The program, for Sentinels, too."},
	}
}

func declare(v native.Values) (string, error) {
	for _, name := range []string{"wait", "wait-timeout", "min-replicas", "down-after",
		"failover-timeout"} {
		if _, err := number(v, name); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"master", "bin"} {
		if !word.MatchString(v[name]) {
			return "", fmt.Errorf("%w: %s=%s: want letters, digits and . / - _", native.ErrSettings,
				name, v[name])
		}
	}
	return native.Fill(declaration, v)
}

// word is what a shell and Sentinel take as it is.
var word = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

// number reads a setting that is one.
func number(v native.Values, name string) (int, error) {
	const most = 1_000_000
	n, err := strconv.Atoi(v[name])
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%w: %s=%s: want a number from 0 to %d", native.ErrSettings, name,
			v[name], most)
	}
	return n, nil
}

func newClient(v native.Values) (*Client, error) {
	wait, err := number(v, "wait")
	if err != nil {
		return nil, err
	}
	ms, err := number(v, "wait-timeout")
	if err != nil {
		return nil, err
	}
	if ms == 0 {
		return nil, fmt.Errorf("%w: wait-timeout=0: Redis would wait for ever", native.ErrSettings)
	}
	return &Client{
		master: v["master"], wait: wait, waitTimeout: time.Duration(ms) * time.Millisecond,
		waitReads: v["wait-reads"] == "yes", local: v["reads"] == "local",
	}, nil
}
