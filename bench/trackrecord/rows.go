package main

import (
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
)

// row is one known anomaly, and what goes without it.
type row struct {
	name string
	// source says where the anomaly is described.
	source   string
	packages []debian
	builds   []program
	nodes    int
	args     []string // of both sides
	// schedule is a file of faults, $schedule in args, where a family of faults would not do.
	schedule string
	red      side
	green    side
}

// side is one of the two settings, and what it is to show.
type side struct {
	name    string
	args    []string
	verdict check.Verdict
	// checker is the one that finds the anomaly, and anomaly its name; where it has two, for
	// one node and for all, they are apart by " or ".
	checker, anomaly string
}

func red(name, checker, anomaly string, args ...string) side {
	return side{name, args, check.Invalid, checker, anomaly}
}

func green(name string, args ...string) side {
	return side{name: name, args: args, verdict: check.Valid}
}

// slug is the row's name for a directory.
func (r row) slug() string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(r.name))
}

// rows are all known anomalies that are looked for.
func rows() []row {
	return slices.Concat(sqlRows(), etcdRows(), otherRows())
}

// test returns the arguments that most rows share.
func test(system, workload, faults string, more ...string) []string {
	return append([]string{
		"--system", system, "--workload", workload, "--faults", faults,
		"--time-limit", "30s", "--rate", "300",
	}, more...)
}

func sqlRows() []row {
	postgres := []debian{{"postgresql", "/usr/lib/postgresql"}}
	mariadb := []debian{{"mariadb-server", "/usr/sbin/mariadbd"}}
	return []row{
		{
			name: "PostgreSQL: lost updates", packages: postgres, nodes: 1,
			source: "At read committed two transactions that read and then write the same row may " +
				"both commit (PostgreSQL's documentation, 13.2.1). At repeatable read the second " +
				"one is refused.",
			args: test("postgres", "list-append", "none", "--set", "claim=snapshot-isolation"),
			red: red("read committed", "list-append", "lost-update",
				"--set", "isolation=read committed"),
			green: green("repeatable read", "--set", "isolation=repeatable read"),
		},
		{
			name: "PostgreSQL: write skew", packages: postgres, nodes: 1,
			source: "Repeatable read is snapshot isolation, which lets two transactions each write " +
				"what the other one has read (PostgreSQL's documentation, 13.2.2).",
			args: test("postgres", "list-append", "none", "--set", "claim=serializable"),
			red: red("repeatable read", "list-append", "G2-item",
				"--set", "isolation=repeatable read"),
			green: green("serializable", "--set", "isolation=serializable"),
		},
		{
			name: "PostgreSQL: long fork of primary and standby", packages: postgres, nodes: 2,
			source: "A primary shows commits in the order in which they ended, a standby in the " +
				"order of the log (https://jepsen.io/analyses/amazon-rds-for-postgresql-17.4).",
			args: test("postgres", "long-fork", "none", "--rate", "500",
				"--set", "isolation=repeatable read", "--set", "synchronous_commit=mixed"),
			red: red("reads at both", "long-fork", "No order of the two writes explains both",
				"--set", "reads=any"),
			green: green("reads at the primary", "--set", "reads=primary"),
		},
		{
			name: "MariaDB: lost updates and G-single", packages: mariadb, nodes: 1,
			source: "Repeatable read without innodb_snapshot_isolation lets a transaction change " +
				"rows that are newer than its snapshot (https://jepsen.io/analyses/mysql-8.0.34, " +
				"MDEV-35124).",
			args: test("mariadb", "list-append", "none", "--set", "isolation=repeatable read",
				"--set", "claim=snapshot-isolation"),
			red: red("innodb_snapshot_isolation=OFF", "list-append", "G-single",
				"--set", "snapshot=OFF"),
			green: green("innodb_snapshot_isolation=ON", "--set", "snapshot=ON"),
		},
	}
}

func etcdRows() []row {
	debianEtcd := []debian{{"etcd-server", "/usr/bin/etcd"}}
	return []row{
		{
			name: "etcd: stale reads", packages: debianEtcd, nodes: 3,
			source: "A serializable read is answered by one node from what it has (etcd's API " +
				"guarantees).",
			args: []string{
				"--system", "etcd", "--workload", "register", "--time-limit", "30s", "--rate", "300",
				"--set", "claim=linearizable", "--schedule", "$schedule",
			},
			schedule: `{"at":"2s","for":"20s","fault":"delay","nodes":["n3"],` +
				`"params":{"delay":"150ms"}}`,
			red: red("serializable reads", "linearizable", "not linearizable",
				"--set", "reads=serializable"),
			green: green("linearizable reads", "--set", "reads=linearizable"),
		},
		{
			name: "etcd: a lock is granted when its lease has ended", nodes: 3,
			packages: debianEtcd, builds: []program{etcd("etcd355", "v3.5.5")},
			source: "Until 3.5 the call Lock did not look whether its own lease had ended while it " +
				"waited (https://jepsen.io/analyses/etcd-3.4.3, etcd issue 11456).",
			args: test("etcd", "lock", "none", "--rate", "100", "--set", "lock-keepalive=false",
				"--op-timeout", "8s", "--request-timeout", "7s"),
			red:   red("3.4", "lock", "never held"),
			green: green("3.5.5", "--set", "bin=$etcd355"),
		},
		{
			name: "etcd: progress that is told before the events", nodes: 3,
			packages: debianEtcd, builds: []program{etcd("etcd364", "v3.6.4")},
			source: "A notification of progress says that all events up to its revision were " +
				"delivered. Before 3.4.25 and 3.5.8 one that was asked for did not wait for them " +
				"(etcd issue 15220).",
			args:  test("etcd", "log", "none", "--rate", "60", "--set", "logs=progress"),
			red:   red("3.4.23", "log", "without an acknowledged element"),
			green: green("3.6.4", "--set", "bin=$etcd364"),
		},
		{
			name: "etcd 3.5.0: nodes that differ after a kill", nodes: 3,
			builds: []program{etcd("etcd350", "v3.5.0"), etcd("etcd355", "v3.5.5")},
			source: "A node that is killed while it applies may skip a transaction when it comes " +
				"back (etcd issue 13766).",
			args: []string{
				"--system", "etcd", "--workload", "set-full", "--faults", "kill", "--interval", "3s",
				"--time-limit", "60s", "--rate", "30", "--concurrency", "6",
				"--op-timeout", "3s", "--request-timeout", "2s", "--set", "guard=10000",
			},
			red:   red("3.5.0", "set-full", "stale or lost", "--set", "bin=$etcd350"),
			green: green("3.5.5", "--set", "bin=$etcd355"),
		},
	}
}

func otherRows() []row {
	return []row{
		{
			name: "Redis Sentinel: lost acknowledged writes", nodes: 3,
			packages: []debian{{"redis-server", "/usr/bin/redis-server"}},
			source: "A primary that is cut off acknowledges writes until it hears that another one " +
				"was promoted, and then throws them away (https://aphyr.com/posts/283-jepsen-redis).",
			args: []string{
				"--system", "redis", "--workload", "set-full", "--time-limit", "30s", "--rate", "100",
				"--set", "claim=durable", "--schedule", "$schedule",
			},
			schedule: `{"at":"8s","for":"8s","fault":"partition","shape":"isolate",` +
				`"target":"primaries"}`,
			red:   red("without WAIT", "set-full", "lost"),
			green: green("WAIT 1", "--set", "wait=1"),
		},
		{
			name: "ZooKeeper: stale reads", nodes: 5,
			packages: []debian{{"zookeeper", "/usr/share/java/zookeeper.jar"}},
			source: "A server answers reads from what it has; whoever wants the newest state calls " +
				"sync before (ZooKeeper's documentation, consistency guarantees).",
			args:  test("zookeeper", "set-full", "none", "--set", "claim=linearizable"),
			red:   red("without sync", "set-full", "stale", "--set", "sync=false"),
			green: green("with sync", "--set", "sync=true"),
		},
		{
			name: "NATS JetStream: lost messages when power fails", nodes: 3,
			builds: []program{{
				name: "nats", module: "github.com/nats-io/nats-server/v2", version: "v2.12.1",
				source: natsMain,
			}},
			source: "Acknowledged messages are synced every two minutes by default " +
				"(https://jepsen.io/analyses/nats-2.12.1, nats-server issue 7564).",
			args: []string{
				"--system", "nats", "--workload", "set-full", "--time-limit", "45s", "--rate", "100",
				"--set", "bin=$nats", "--set", "power=yes", "--schedule", "$schedule",
			},
			// The nodes are started anew on a volume at first, which takes them some seconds.
			schedule: `{"at":"5s","for":"22s","fault":"power-loss","target":"all"}`,
			red:      red("sync_interval as it is", "set-full", "lost"),
			green:    green("sync_interval: always", "--set", "sync-interval=always"),
		},
	}
}
