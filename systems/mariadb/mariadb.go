// Package mariadb is MariaDB as a system that the checker knows by name: one server with
// InnoDB. Servers of a replicated MariaDB are not among what it runs.
package mariadb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/sqlclient"
)

//go:embed mariadb.yaml
var declaration string

//go:embed prelude.sh
var prelude string

// documented is the claim that MariaDB's documentation makes for the other settings.
const documented = "documented"

// System returns it.
func System() native.System {
	levels := []string{documented}
	for _, l := range graph.Levels() {
		levels = append(levels, l.String())
	}
	return native.System{
		Name: "mariadb",
		Doc:  "MariaDB, one server with InnoDB",
		Settings: []native.Setting{
			{Name: "bin", Program: true,
				Doc: "directory of mariadbd and mariadb-install-db; if empty, PATH"},
			{Name: "user", Default: "mysql", Doc: "who runs it where the checker is root"},
			{Name: "isolation", Default: "serializable",
				Values: []string{
					"read uncommitted", "read committed", "repeatable read", "serializable",
				},
				Doc: "isolation level of all transactions; MariaDB's own default is repeatable read"},
			{Name: "snapshot", Default: "ON", Values: []string{"ON", "OFF"},
				Doc: "innodb_snapshot_isolation: whether repeatable read is snapshot isolation; ON " +
					"needs 10.6.18, 10.11.8 or later, OFF is the default before 11.6.2"},
			{Name: "sync", Default: "1", Values: []string{"0", "1", "2"},
				Doc: "innodb_flush_log_at_trx_commit: 1 commits to disk, 2 to the operating system, 0 to " +
					"memory"},
			{Name: "claim", Default: documented, Values: levels,
				Doc: "isolation level that is judged: what MariaDB documents, or another one"},
		},
		Declare: describe,
		Client:  func(v native.Values) (native.Client, error) { return newClient(v) },
	}
}

// level is the isolation that is claimed. Without snapshot isolation, a repeatable read sees
// the latest version of what it has changed itself beside a snapshot of the rest: "a state
// that never existed in the database", as the manual says.
func level(v native.Values) (graph.Level, error) {
	if v["claim"] != documented {
		return graph.ParseLevel(v["claim"])
	}
	switch v["isolation"] {
	case "read uncommitted":
		return graph.ReadUncommitted, nil
	case "serializable":
		return graph.Serializable, nil
	case "repeatable read":
		if v["snapshot"] == "ON" {
			return graph.SnapshotIsolation, nil
		}
	}
	return graph.ReadCommitted, nil
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
	all["snapshot_option"] = "--innodb-snapshot-isolation=ON"
	if v["snapshot"] == "OFF" {
		all["snapshot_option"] = "--loose-innodb-snapshot-isolation=OFF" // it may not know it
	}
	all["faults"] = "[kill, pause, restart, clients]"
	if v["sync"] == "0" {
		all["faults"] = "[pause, clients]" // up to a second is lost with the process
	}
	all["text"] = fmt.Sprintf("%s, with transactions at %s", l, v["isolation"])
	all["workloads"] = native.Promises(l, v["isolation"] != "read uncommitted")
	return native.Fill(declaration, all)
}

type client struct{ sql *sqlclient.Client }

func newClient(v native.Values) (*client, error) {
	c, problems := sqlclient.Compile(sqlclient.Config{
		Dialect:   strictyaml.Text{Value: "mysql"},
		DSN:       strictyaml.Text{Value: "ordeal@tcp({{ .Endpoint }})/ordeal?interpolateParams=true"},
		Isolation: strictyaml.Text{Value: v["isolation"]},
	})
	if len(problems) > 0 {
		return nil, problems
	}
	return &client{c}, nil
}

// Has implements native.Client.
func (c *client) Has(object string, f history.F) bool { return c.sql.Has(object, f) }

// Open implements native.Client. It connects at the first operation.
func (c *client) Open(
	_ context.Context, endpoints []string, object string,
) (native.Session, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("open a client: no endpoint")
	}
	s, err := c.sql.Open(endpoints[0], object)
	if err != nil {
		return nil, err // not a Session that is a nil pointer
	}
	return s, nil
}
