// Package postgres is PostgreSQL as a system that the checker knows by name: the first node is
// the primary, the others are hot standbys that follow it by streaming replication. Nobody is
// promoted: when the primary is down, nothing is written.
//
// Transactions that change something go to the primary. Those that only read go there, too, or
// to the standby of the client's own node, as the setting reads says: PostgreSQL shows commits
// on a standby in the order of its log and on the primary in the order in which they ended, and
// who reads at both can see the difference.
package postgres

import (
	_ "embed"
	"fmt"
	"maps"
	"strconv"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/systems/native"
)

//go:embed postgres.yaml
var declaration string

//go:embed prelude.sh
var prelude string

// documented is the claim that PostgreSQL's documentation makes for the other settings.
const documented = "documented"

// System returns it.
func System() native.System {
	levels := []string{documented}
	for _, l := range graph.Levels() {
		levels = append(levels, l.String())
	}
	return native.System{
		Name: "postgres",
		Doc:  "PostgreSQL, a primary and hot standbys, without failover",
		Settings: []native.Setting{
			{Name: "bin", Program: true,
				Doc: "directory of initdb, postgres and pg_basebackup; if empty, that of the newest " +
					"version in /usr/lib/postgresql, or PATH"},
			{Name: "user", Default: "postgres", Doc: "who runs it where the checker is root"},
			{Name: "isolation", Default: "serializable",
				Values: []string{"read committed", "repeatable read", "serializable"},
				Doc:    "isolation level of all transactions"},
			{Name: "reads", Default: "primary", Values: []string{"primary", "any"},
				Doc: "where transactions that only read run: any is the client's own node, also if it " +
					"is a standby, and at most at repeatable read, the strictest level there"},
			{Name: "synchronous_commit", Default: "on",
				Values: []string{"on", "off", "local", "remote_write", "remote_apply", "mixed"},
				Doc:    "what a commit waits for; mixed: off in every other session, on in the rest"},
			{Name: "synchronous_standbys", Default: "0",
				Values: []string{"0", "1", "2", "3", "4"},
				Doc:    "how many standbys a commit waits for"},
			{Name: "claim", Default: documented, Values: levels,
				Doc: "isolation level that is judged: what PostgreSQL documents, or another one"},
		},
		Declare: describe,
		Client:  func(v native.Values) (native.Client, error) { return newClient(v) },
	}
}

// level is the isolation that is claimed. PostgreSQL documents for its repeatable read that a
// transaction reads a snapshot as of its start, and for hot standbys that there is nothing
// stricter than repeatable read. What a standby has may be old.
func level(v native.Values) (graph.Level, error) {
	if v["claim"] != documented {
		return graph.ParseLevel(v["claim"])
	}
	switch {
	case v["isolation"] == "read committed":
		return graph.ReadCommitted, nil
	case v["reads"] == "any":
		return graph.SnapshotIsolation, nil
	case v["isolation"] == "repeatable read":
		return graph.StrongSnapshotIsolation, nil
	default:
		return graph.Serializable, nil
	}
}

// faults are what the claim covers: a commit that was acknowledged before it was durable is
// lost with the processes, as documented.
func faults(v native.Values) string {
	switch v["synchronous_commit"] {
	case "off", "mixed":
		return "[partition, messages, pause, clients]"
	default:
		return "[partition, messages, kill, pause, restart, clients]"
	}
}

func describe(v native.Values) (string, error) {
	l, err := level(v)
	if err != nil {
		return "", fmt.Errorf("claim: %w", err)
	}
	if err := native.Plain(v, "bin", "user"); err != nil {
		return "", err
	}
	all := maps.Clone(v)
	all["shell"] = native.Shell(v["user"])
	script, err := native.Fill(prelude, all)
	if err != nil {
		return "", err
	}
	all["prelude"] = native.Indent(script)
	all["server_commit"] = v["synchronous_commit"]
	if v["synchronous_commit"] == "mixed" {
		all["server_commit"] = "on" // sessions choose
	}
	if n, _ := strconv.Atoi(v["synchronous_standbys"]); n > 0 {
		all["names"] = fmt.Sprintf("ANY %d (*)", n)
	} else {
		all["names"] = ""
	}
	all["faults"] = faults(v)
	all["text"] = fmt.Sprintf("%s, with transactions at %s and reads at %s", l, v["isolation"],
		map[string]string{"primary": "the primary", "any": "any node"}[v["reads"]])
	all["workloads"] = native.Promises(l, v["reads"] == "primary" || l.Realtime())
	return native.Fill(declaration, all)
}
