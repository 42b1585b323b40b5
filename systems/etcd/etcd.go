// Package etcd is etcd as a system under test: how a cluster of it is started, what its
// documentation promises, and a client for the objects of all workloads.
//
// Everything that a workload asks for is one transaction of etcd, or a read of some keys
// and then a transaction that compares their revisions and writes. A comparison that fails
// has changed nothing, so that is a definite failure and never tried again.
//
// The client speaks to one node over one connection of its own, without the retries and the
// balancing of clientv3.Client: what etcd answered is what is recorded.
package etcd

import (
	_ "embed"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/systems/native"
)

//go:embed etcd.yaml
var declaration string

// The values of settings.
const (
	linearizable = "linearizable"
	serializable = "serializable"
	documented   = "documented"
	yes, no      = "true", "false"
)

// System is etcd.
func System() native.System {
	return native.System{
		Name: "etcd",
		Doc:  "etcd, the key-value store of Kubernetes: docs/systems/etcd.md",
		Settings: []native.Setting{
			{Name: "bin", Default: "etcd", Program: true, Doc: "The program of a node."},
			{
				Name: "reads", Default: linearizable, Values: []string{linearizable, serializable},
				Doc: "Reads go through the leader, or are answered by the node from what it has.",
			},
			{
				Name: "claim", Default: documented, Values: []string{documented, linearizable},
				Doc: "What is promised: what the documentation says of such reads, or the most.",
			},
			{
				Name: "lock-keepalive", Default: yes, Values: []string{yes, no},
				Doc: "Whether who waits for a lock keeps its lease alive.",
			},
			{Name: "lock-ttl", Default: "2", Doc: "Seconds of the lease of a lock, at least 1."},
			{
				Name: "logs", Default: byRange, Values: []string{byRange, byWatch, byProgress},
				Doc: "How logs are read: at one revision; by a watch from the beginning until the " +
					"newest element; or until a notification of progress.",
			},
			{Name: "heartbeat", Default: "100", Doc: "Milliseconds between heartbeats of the leader."},
			{Name: "election", Default: "1000", Doc: "Milliseconds without one until an election."},
			{Name: "quota", Default: "0", Doc: "Bytes of the database; 0 is etcd's own default."},
			{
				Name: "guard", Default: "0",
				Doc: "Keys that each add, append and enqueue compares beside; a slow apply.",
			},
			{Name: "args", Default: "", Doc: "Further arguments of each node."},
		},
		Declare: declare,
		Client:  newClient,
	}
}

// declare fills the declaration: the claim follows from how one reads, unless more is
// claimed than that.
func declare(v native.Values) (string, error) {
	for _, name := range []string{"heartbeat", "election", "quota"} {
		if _, err := strconv.ParseUint(v[name], 10, 63); err != nil {
			return "", fmt.Errorf("%w: %s=%s: want a number", native.ErrSettings, name, v[name])
		}
	}
	all := maps.Clone(v)
	if all["promise"] = v["claim"]; v["claim"] == documented {
		all["promise"] = v["reads"]
	}
	return native.Fill(declaration, all)
}

func newClient(v native.Values) (native.Client, error) {
	ttl, err := strconv.ParseInt(v["lock-ttl"], 10, 32)
	if err != nil || ttl < 1 {
		return nil, fmt.Errorf("%w: lock-ttl=%s: want a number of seconds", native.ErrSettings,
			v["lock-ttl"])
	}
	guard, err := strconv.ParseUint(v["guard"], 10, 20)
	if err != nil {
		return nil, fmt.Errorf("%w: guard=%s: want a number of keys, at most a million",
			native.ErrSettings, v["guard"])
	}
	return &client{
		serializable: v["reads"] == serializable,
		logs:         v["logs"],
		keepalive:    v["lock-keepalive"] == yes,
		guard:        int(guard),
		ttl:          time.Duration(ttl) * time.Second,
		locks:        map[lockID]string{},
	}, nil
}
