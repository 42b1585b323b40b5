package sqlclient

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// TestMistakes: all mistakes of a description are told, with their lines.
func TestMistakes(t *testing.T) {
	var cfg Config
	if ps := strictyaml.Decode([]byte("dialect: oracle\nisolation: strong\ndsn: postgres://db/\n"),
		&cfg); len(ps) > 0 {
		t.Fatal(ps)
	}
	_, ps := Compile(cfg)
	want := []string{
		`line 1: dialect "oracle": there is mysql, postgres`,
		`line 2: isolation "strong": there is read committed, `, `line 3: dsn does not name the node`,
	}
	for i, w := range want {
		if i >= len(ps) || !strings.HasPrefix(ps[i].Error(), w) {
			t.Fatalf("want %q in\n%v", w, ps)
		}
	}
	cfg.DSN.Value = ""
	if _, ps = Compile(cfg); !strings.Contains(ps.Error(), "sql has no dsn") {
		t.Error(ps)
	}
}

// TestRolledBack: only what says that a transaction came to nothing is a proof of it.
func TestRolledBack(t *testing.T) {
	for _, c := range []struct {
		dialect string
		err     error
		want    bool
	}{
		{"postgres", &pgconn.PgError{Code: "40001"}, true},  // serialization failure
		{"postgres", &pgconn.PgError{Code: "40P01"}, true},  // deadlock
		{"postgres", &pgconn.PgError{Code: "40003"}, false}, // completion unknown
		{"postgres", &pgconn.PgError{Code: "57P01"}, false}, // shut down while it committed
		{"postgres", pgx.ErrTxCommitRollback, true},
		{"postgres", errors.New("EOF"), false},
		{"mysql", &mysql.MySQLError{Number: 1213}, true},
		{"mysql", &mysql.MySQLError{Number: 1020}, true},
		{"mysql", &mysql.MySQLError{Number: 1180}, false}, // an error during the commit
		{"mysql", &mysql.MySQLError{Number: 1205}, false}, // a wait that was given up
		{"mysql", mysql.ErrInvalidConn, false},
	} {
		if got := dialects()[c.dialect].rolledBack(fmt.Errorf("commit: %w", c.err)); got != c.want {
			t.Errorf("%s: %v proves it: %t", c.dialect, c.err, got)
		}
	}
}

// TestNobodyListens: what was never sent has failed.
func TestNobodyListens(t *testing.T) {
	s := open(t, "127.0.0.1:1", "register")
	if _, err := s.Invoke(t.Context(), history.Event{F: "write", Value: history.Int(1)}); err == nil ||
		!history.IsDefinite(err) || operation.IsBroken(err) {
		t.Errorf("%v", err)
	}
}

func open(t *testing.T, endpoint, object string) *Session {
	t.Helper()
	var cfg Config
	ps := strictyaml.Decode([]byte("dialect: postgres\nisolation: serializable\n"+
		"dsn: postgres://ordeal@{{ .Endpoint }}/postgres?sslmode=disable\n"), &cfg)
	c, more := Compile(cfg)
	if ps = append(ps, more...); len(ps) > 0 {
		t.Fatal(ps)
	}
	s, err := c.Open(endpoint, object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestPostgres tells the client's operations to a PostgreSQL, where one is installed.
func TestPostgres(t *testing.T) {
	endpoint := startPostgres(t)
	for _, c := range []struct{ object, f, value, want string }{
		{"register", "read", "null", "ok null"}, {"register", "write", "3", "ok 3"},
		{"cas-register", "cas", "[3,4]", "ok [3,4]"}, {"cas-register", "cas", "[3,5]", "fail"},
		{"cas-register", "cas", "[4,4]", "ok [4,4]"}, {"register", "read", "null", "ok 4"},
		{"set", "read", "null", "ok []"}, {"set", "add", "7", "ok 7"}, {"set", "add", "8", "ok 8"},
		{"set", "read", "null", "ok [7,8]"},
		{"counter", "read", "null", "ok 4"}, {"counter", "add", "-1", "ok -1"},
		{"counter", "read", "null", "ok 3"},
		{"txn", "txn", `[["r","x",null],["w","x",5],["add","x",-2],["r","x",null]]`,
			`ok [["r","x",null],["w","x",5],["add","x",-2],["r","x",3]]`},
		{"txn", "txn", `[["w","y",1],["add","x",-4]]`, "fail"},
		{"txn", "txn", `[["r","y",null],["r","x",null]]`, `ok [["r","y",null],["r","x",3]]`},
		{"txn-list", "txn", `[["append","l",1],["append","l",2],["r","l",null]]`,
			`ok [["append","l",1],["append","l",2],["r","l",[1,2]]]`},
		{"txn-list", "txn", `[["r","none",null]]`, `ok [["r","none",[]]]`},
	} {
		v, err := history.ParseValue([]byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		op, err := open(t, endpoint, c.object).Invoke(t.Context(), history.Event{
			F: history.F(c.f), Key: "k", Value: v,
		})
		got := "ok " + op.Value.String()
		if history.IsDefinite(err) {
			got = "fail"
		} else if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s %s: %s (%v), want %s", c.object, c.f, c.value, got, err, c.want)
		}
	}
}

// startPostgres runs a server until the test ends.
func startPostgres(t *testing.T) (endpoint string) {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Skip("PostgreSQL is not installed")
	}
	bin, dir := filepath.Dir(found[0]), t.TempDir()
	credential := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 { // it refuses to run as root
		credential.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
			if err := errors.Join(os.Chmod(d, 0o755), os.Chown(dir, 65534, 65534)); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(found[0], "-D", data, "-U", "ordeal", "-A", "trust", "-N")
	initdb.SysProcAttr, initdb.Dir = credential, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint = l.Addr().String()
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-F",
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+data)
	server.SysProcAttr, server.Dir = credential, dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // a fast shutdown
		_ = server.Wait()
	})
	deadline := time.After(30 * time.Second)
	for {
		s := open(t, endpoint, "register")
		if _, err = s.Invoke(t.Context(), history.Event{F: "read", Key: "first"}); err == nil {
			return endpoint
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("PostgreSQL does not serve: %v", err)
		}
	}
}
