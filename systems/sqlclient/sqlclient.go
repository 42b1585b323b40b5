// Package sqlclient is the client of all SQL databases: registers, sets, counters and
// transactions over two tables, by database/sql. What differs between databases, a few
// statements and what an error of a commit proves, stands in a table.
//
// A transaction that was not told to commit cannot take effect: whatever goes wrong before
// is a definite failure. From commit on the answer alone decides.
package sqlclient

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// Config describes a client.
type Config struct {
	Line int `yaml:",line"`
	// Dialect is a name of Dialects.
	Dialect strictyaml.Text `yaml:"dialect"`
	// DSN is how one connects, a template.
	DSN strictyaml.Text `yaml:"dsn"`
	// Isolation is the level of all transactions, in SQL's words; empty: the database's own
	// default.
	Isolation strictyaml.Text `yaml:"isolation"`
}

// Client is a description that has been found right.
type Client struct {
	dialect   dialect
	dsn       string
	isolation sql.IsolationLevel
}

// isolations are the levels by their names.
func isolations() map[string]sql.IsolationLevel {
	return map[string]sql.IsolationLevel{
		"": sql.LevelDefault, "read uncommitted": sql.LevelReadUncommitted,
		"read committed": sql.LevelReadCommitted, "repeatable read": sql.LevelRepeatableRead,
		"serializable": sql.LevelSerializable,
	}
}

// Compile finds all mistakes of a description.
func Compile(c Config) (*Client, strictyaml.Problems) {
	var problems strictyaml.Problems
	d, ok := dialects()[c.Dialect.Value]
	if !ok {
		problems.Add(max(c.Dialect.Line, c.Line), "dialect %q: there is %s", c.Dialect.Value,
			strings.Join(slices.Sorted(maps.Keys(dialects())), ", "))
	}
	level, ok := isolations()[c.Isolation.Value]
	if !ok {
		problems.Add(c.Isolation.Line, "isolation %q: there is %s", c.Isolation.Value,
			strings.Join(slices.Sorted(maps.Keys(isolations()))[1:], ", "))
	}
	sample, err := expand.Text(c.DSN.Value, expand.NewTarget("127.0.0.1:5432", ""), true)
	switch {
	case c.DSN.Value == "":
		problems.Add(c.Line, "sql has no dsn: say how one connects to {{ .Endpoint }}")
	case err != nil:
		problems.Add(c.DSN.Line, "dsn: %v", err)
	case !strings.Contains(sample, "127.0.0.1"):
		problems.Add(c.DSN.Line, "dsn does not name the node: want {{ .Endpoint }} in it")
	}
	return &Client{dialect: d, dsn: c.DSN.Value, isolation: level}, problems
}

// Has reports whether there is an operation.
func (c *Client) Has(object string, f history.F) bool {
	switch object {
	case "register", "cas-register":
		return f == "read" || f == "write" || f == "cas"
	case "set", "counter":
		return f == "read" || f == "add"
	case "txn", "txn-list":
		return f == "txn"
	default:
		return false
	}
}

// Session is one logical client: one connection. It is used by one goroutine at a time.
type Session struct {
	client *Client
	object string
	db     *sql.DB
	conn   *sql.Conn // nil: there is none
}

// Open makes a client of the node at the endpoint. It connects at the first operation.
func (c *Client) Open(endpoint, object string) (*Session, error) {
	dsn, err := expand.Text(c.dsn, expand.NewTarget(endpoint, ""), true)
	if err != nil {
		return nil, operation.Brokenf("dsn: %w", err)
	}
	db, err := c.dialect.open(dsn)
	if err != nil {
		return nil, operation.Brokenf("dsn: %w", err)
	}
	// A connection that somebody else has used may be in the midst of something.
	db.SetMaxIdleConns(0)
	return &Session{client: c, object: object, db: db}, nil
}

// Close ends the connection.
func (s *Session) Close() error {
	s.drop()
	return s.db.Close()
}

func (s *Session) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// ErrConnect is wrapped by what an operation fails with when there is no connection.
var ErrConnect = errors.New("connect")

// Invoke performs the operation as one transaction, once.
func (s *Session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	result, err := s.invoke(ctx, op)
	if err != nil && !operation.IsBroken(err) && !operation.Changes(op) {
		err = history.Definite(err)
	}
	return result, err
}

func (s *Session) invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if !s.client.Has(s.object, op.F) {
		return op, operation.Brokenf("%s of a %s is not known", op.F, s.object)
	}
	if err := s.connect(ctx); err != nil {
		return op, history.Definite(fmt.Errorf("%w: %w", ErrConnect, err))
	}
	tx, err := s.conn.BeginTx(ctx, &sql.TxOptions{Isolation: s.client.isolation})
	if err != nil {
		s.drop()
		return op, history.Definite(fmt.Errorf("begin: %w", err))
	}
	t := work{ctx: ctx, tx: tx, d: s.client.dialect}
	out, err := t.perform(s.object, op)
	if err != nil {
		if tx.Rollback() != nil {
			s.drop() // nobody knows in which state it is
		}
		return op, history.Definite(err)
	}
	if err := tx.Commit(); err != nil {
		err = fmt.Errorf("commit: %w", err)
		if s.client.dialect.rolledBack(err) {
			return op, history.Definite(err)
		}
		s.drop()
		return op, err
	}
	return operation.Result(s.object, op, out)
}

// connect takes a connection, and makes the tables where they are missing: several clients
// may do so at once, and on a copy that cannot be written the primary has made them.
func (s *Session) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	s.conn = conn
	if _, err := conn.ExecContext(ctx, "SELECT k FROM ordeal_lists WHERE k = ''"); err == nil {
		return nil
	}
	for _, statement := range s.client.dialect.schema {
		if _, err = conn.ExecContext(ctx, statement); err != nil {
			break // by the look below
		}
	}
	if _, look := conn.ExecContext(ctx, "SELECT k FROM ordeal_lists WHERE k = ''"); look != nil {
		s.drop()
		return errors.Join(look, err)
	}
	return nil
}

// work is a transaction under way.
type work struct {
	ctx context.Context
	tx  *sql.Tx
	d   dialect
}

// perform does an operation up to the commit.
func (t work) perform(object string, op history.Event) (history.Value, error) {
	key := op.Key
	switch {
	case op.F == "txn":
		return t.steps(object, op.Value)
	case object == "set" && op.F == "add":
		return history.Nil(), t.append(key, op.Value)
	case object == "set":
		return t.list(key)
	case object == "counter" && op.F == "add":
		n, _ := op.Value.AsInt()
		_, err := t.tx.ExecContext(t.ctx, t.d.add, string(key), n)
		return history.Nil(), err
	case op.F == "cas":
		return history.Nil(), t.cas(key, op.Value)
	case op.F == "write":
		return history.Nil(), t.write(key, op.Value)
	default:
		v, err := t.read(key)
		if object == "counter" && v.IsNil() {
			v = history.Int(0)
		}
		return v, err
	}
}

var (
	errMismatch  = errors.New("it holds something else")
	errOverdraft = errors.New("overdraft: the balance would be negative")
)

func (t work) steps(object string, value history.Value) (history.Value, error) {
	steps, err := history.ParseSteps(value)
	if err != nil {
		return value, err
	}
	for i := range steps {
		if err := t.step(object, &steps[i]); err != nil {
			return value, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return history.Steps(steps...), nil
}

func (t work) step(object string, s *history.Step) (err error) {
	switch {
	case s.F == history.StepRead && object == "txn-list":
		s.Value, err = t.list(s.Key)
	case s.F == history.StepRead:
		s.Value, err = t.read(s.Key)
	case s.F == history.StepWrite:
		err = t.write(s.Key, s.Value)
	case s.F == history.StepAppend:
		err = t.append(s.Key, s.Value)
	case s.F == history.StepAdd:
		var have history.Value
		if have, err = t.read(s.Key); err != nil {
			return err
		}
		old, _ := have.AsInt()
		n, _ := s.Value.AsInt()
		if n < 0 && old+n < 0 {
			return errOverdraft
		}
		err = t.write(s.Key, history.Int(old+n))
	default:
		err = fmt.Errorf("there is no step %q", s.F)
	}
	return err
}

func (t work) read(key history.Key) (history.Value, error) {
	var n int64
	err := t.tx.QueryRowContext(t.ctx, t.d.read, string(key)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return history.Nil(), nil
	}
	return history.Int(n), err
}

func (t work) write(key history.Key, v history.Value) error {
	n, ok := v.AsInt()
	if !ok {
		return fmt.Errorf("write %s: want an integer", v)
	}
	_, err := t.tx.ExecContext(t.ctx, t.d.write, string(key), n)
	return err
}

func (t work) cas(key history.Key, v history.Value) error {
	old, _ := v.At(0).AsInt()
	next, _ := v.At(1).AsInt()
	// Read, then written: an update says of rows it has changed, and a database may count
	// one that had the value already as none.
	have, err := t.read(key)
	if err != nil {
		return err
	}
	if n, ok := have.AsInt(); !ok || n != old {
		return errMismatch
	}
	result, err := t.tx.ExecContext(t.ctx, t.d.cas, next, string(key), old)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 && next != old {
		return errors.Join(err, errMismatch)
	}
	return nil
}

func (t work) append(key history.Key, v history.Value) error {
	n, ok := v.AsInt()
	if !ok {
		return fmt.Errorf("append %s: want an integer", v)
	}
	_, err := t.tx.ExecContext(t.ctx, t.d.append, string(key), strconv.FormatInt(n, 10))
	return err
}

// list reads elements, which are kept as text with commas.
func (t work) list(key history.Key) (history.Value, error) {
	var text string
	err := t.tx.QueryRowContext(t.ctx, t.d.list, string(key)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return history.Ints(), nil
	}
	if err != nil {
		return history.Nil(), err
	}
	var ns []int64
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return history.Nil(), fmt.Errorf("list %s holds %q: %w", key, text, err)
		}
		ns = append(ns, n)
	}
	return history.Ints(ns...), nil
}
