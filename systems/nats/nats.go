// Package nats is NATS JetStream: one stream, replicated by Raft, to which clients publish
// and which they read.
//
// A register is a subject of the stream and its last message; sets and logs have a subject for
// each element. docs/systems/nats.md says what is claimed, and which errors prove that nothing
// happened.
package nats

import (
	_ "embed"
	"fmt"
	"regexp"
	"strconv"

	"github.com/ordeal-dev/ordeal/systems/native"
)

//go:embed nats.yaml
var declaration string

// System returns NATS JetStream.
func System() native.System {
	return native.System{
		Name:     "nats",
		Doc:      "NATS JetStream: a stream that is replicated by Raft.",
		Settings: settings(),
		Declare:  declare,
		Client:   func(v native.Values) (native.Client, error) { return newClient(v) },
	}
}

func settings() []native.Setting {
	return []native.Setting{
		{
			Name: "claim", Default: "documented", Values: []string{"documented", "linearizable"},
			Doc: "What is held against it: what its documentation promises, or linearizability, " +
				"reads included.",
		},
		{
			Name: "power", Default: "no", Values: []string{"no", "yes"},
			Doc: "Whether the claim covers power failures of all nodes at once.",
		},
		{
			Name: "sync-interval", Default: "default",
			Doc: "How often written messages are synced to disk: the server's default (2m), a time as " +
				"10s, or always, before they are acknowledged.",
		},
		{
			Name: "replicas", Default: "3", Values: []string{"1", "3", "5"},
			Doc: "How many nodes have the stream.",
		},
		{
			Name: "reads", Default: "direct", Values: []string{"direct", "leader"},
			Doc: "Who answers reads of registers: any replica, or the one that thinks that it leads.",
		},
		{Name: "bin", Default: "nats-server", Program: true, Doc: "The program, 2.11 or newer."},
	}
}

// interval and program are what the server's configuration and a shell take as they are.
var (
	interval = regexp.MustCompile(`^(default|always|[0-9]+(ms|s|m|h))$`)
	program  = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
)

func declare(v native.Values) (string, error) {
	if !interval.MatchString(v["sync-interval"]) {
		return "", fmt.Errorf("%w: sync-interval=%s: want default, always, or a time as 10s",
			native.ErrSettings, v["sync-interval"])
	}
	if !program.MatchString(v["bin"]) {
		return "", fmt.Errorf("%w: bin=%s: want letters, digits and . / - _", native.ErrSettings,
			v["bin"])
	}
	return native.Fill(declaration, v)
}

func newClient(v native.Values) (*Client, error) {
	replicas, err := strconv.Atoi(v["replicas"])
	if err != nil {
		return nil, fmt.Errorf("%w: replicas=%s", native.ErrSettings, v["replicas"])
	}
	return &Client{replicas: replicas, leader: v["reads"] == "leader"}, nil
}
