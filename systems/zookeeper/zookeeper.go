// Package zookeeper is ZooKeeper as a system that the checker knows by name: registers, sets,
// ids, and transactions over several nodes of its tree.
//
// What changes something is ordered by the leader, and so linearizable. A read is answered by
// the server that the client is connected to, of what it has: it may be old, unless the client
// asks that server before to catch up with the leader (sync). A transaction reads what it
// needs, and is then one multi, which checks that none of it has changed and writes the rest.
package zookeeper

import (
	_ "embed"
	"maps"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/systems/native"
)

//go:embed zookeeper.yaml
var declaration string

// debian is where Debian has ZooKeeper, and something that prints its log.
const debian = "/etc/zookeeper/conf:/usr/share/java/slf4j-simple.jar:/usr/share/java/zookeeper.jar"

// System returns it.
func System() native.System {
	return native.System{
		Name: "zookeeper",
		Doc:  "ZooKeeper, an ensemble that elects its leader",
		Settings: []native.Setting{
			{Name: "classpath", Default: debian,
				Doc: "where Java finds ZooKeeper and its configuration of logs"},
			{Name: "java", Default: "java", Program: true, Doc: "the Java program"},
			{Name: "sync", Default: "true", Values: []string{"true", "false"},
				Doc: "whether a read of a register or a set is preceded by sync"},
			{Name: "local_sessions", Default: "false", Values: []string{"true", "false"},
				Doc: "localSessionsEnabled: clients connect without a quorum"},
			{Name: "claim", Default: "documented", Values: []string{"documented", "linearizable"},
				Doc: "what is claimed of reads without sync: that they may be old, as documented, or more"},
		},
		Declare: describe,
		Client: func(v native.Values) (native.Client, error) {
			return &client{sync: v["sync"] == "true"}, nil
		},
	}
}

func describe(v native.Values) (string, error) {
	if err := native.Plain(v, "classpath", "java"); err != nil {
		return "", err
	}
	all := maps.Clone(v)
	fresh := v["sync"] == "true" || v["claim"] == "linearizable"
	all["text"] = "updates are linearizable; reads without sync may be old"
	if fresh {
		all["text"] = "linearizable updates and reads"
	}
	// The client has no counters; the recipe for them repeats what failed.
	all["workloads"] = registers(fresh) +
		native.Promises(graph.StrictSerializable, fresh, "counter", "register", "cas-register") +
		"    unique-ids: linearizable\n"
	return native.Fill(declaration, all)
}

// registers come first, because a test without a name of a workload takes that one.
func registers(fresh bool) string {
	if !fresh {
		return ""
	}
	return "    register: linearizable\n    cas-register: linearizable\n"
}
