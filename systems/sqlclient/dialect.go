package sqlclient

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// dialect is what differs between databases.
type dialect struct {
	// open makes a pool of connections, and does not connect.
	open   func(dsn string) (*sql.DB, error)
	schema []string
	// Parameters: read and list take the key, write, add and append key and value, cas the
	// new value, the key and the old one.
	read, write, cas, add, list, append string
	// rolledBack reports whether the error of a commit proves that it came to nothing.
	rolledBack func(error) bool
}

// dialects are those of all databases, by name.
func dialects() map[string]dialect {
	return map[string]dialect{
		"postgres": {
			open: func(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) },
			schema: []string{
				"CREATE TABLE IF NOT EXISTS ordeal_registers (k varchar(200) PRIMARY KEY, v bigint NOT NULL)",
				"CREATE TABLE IF NOT EXISTS ordeal_lists (k varchar(200) PRIMARY KEY, v text NOT NULL)",
			},
			read: "SELECT v FROM ordeal_registers WHERE k = $1",
			write: "INSERT INTO ordeal_registers (k, v) VALUES ($1, $2) " +
				"ON CONFLICT (k) DO UPDATE SET v = excluded.v",
			cas: "UPDATE ordeal_registers SET v = $1 WHERE k = $2 AND v = $3",
			add: "INSERT INTO ordeal_registers (k, v) VALUES ($1, $2) " +
				"ON CONFLICT (k) DO UPDATE SET v = ordeal_registers.v + excluded.v",
			list: "SELECT v FROM ordeal_lists WHERE k = $1",
			append: "INSERT INTO ordeal_lists (k, v) VALUES ($1, $2) " +
				"ON CONFLICT (k) DO UPDATE SET v = ordeal_lists.v || ',' || excluded.v",
			rolledBack: rolledBackPostgres,
		},
		"mysql": {
			open: openMySQL,
			schema: []string{
				"CREATE TABLE IF NOT EXISTS ordeal_registers " +
					"(k varchar(200) PRIMARY KEY, v bigint NOT NULL) ENGINE=InnoDB",
				"CREATE TABLE IF NOT EXISTS ordeal_lists " +
					"(k varchar(200) PRIMARY KEY, v text NOT NULL) ENGINE=InnoDB",
			},
			read: "SELECT v FROM ordeal_registers WHERE k = ?",
			write: "INSERT INTO ordeal_registers (k, v) VALUES (?, ?) " +
				"ON DUPLICATE KEY UPDATE v = VALUES(v)",
			cas: "UPDATE ordeal_registers SET v = ? WHERE k = ? AND v = ?",
			add: "INSERT INTO ordeal_registers (k, v) VALUES (?, ?) " +
				"ON DUPLICATE KEY UPDATE v = v + VALUES(v)",
			list: "SELECT v FROM ordeal_lists WHERE k = ?",
			append: "INSERT INTO ordeal_lists (k, v) VALUES (?, ?) " +
				"ON DUPLICATE KEY UPDATE v = CONCAT(v, ',', VALUES(v))",
			rolledBack: rolledBackMySQL,
		},
	}
}

// openMySQL keeps the driver from writing to standard error what it returns, too.
func openMySQL(dsn string) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// rolledBackPostgres: class 40 is rollback, but for 40003, which says that nobody knows;
// and a commit of a transaction that had failed is answered by ROLLBACK.
func rolledBackPostgres(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && len(pg.Code) == 5 && pg.Code[:2] == "40" && pg.Code != "40003"
}

// rolledBackMySQL: deadlock, which is what Galera says of a commit that it refuses, and
// record changed since the snapshot.
func rolledBackMySQL(err error) bool {
	var my *mysql.MySQLError
	return errors.As(err, &my) && slices.Contains([]uint16{1213, 1020}, my.Number)
}
