package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/systems/sqlclient"
)

// client knows where the primary is, as long as it is right about it.
type client struct {
	anywhere bool
	// writers take turns, a session each. The reader is for standbys.
	writers []*sqlclient.Client
	reader  *sqlclient.Client

	opened  atomic.Uint64
	primary atomic.Pointer[string]
}

const dsn = "postgres://ordeal@{{ .Endpoint }}/postgres?sslmode=disable"

func newClient(v native.Values) (*client, error) {
	c := &client{anywhere: v["reads"] == "any"}
	isolation := v["isolation"]
	commits := []string{""}
	if v["synchronous_commit"] == "mixed" {
		commits = []string{"", "&synchronous_commit=off"}
	}
	for _, commit := range commits {
		w, err := compile(dsn+commit, isolation)
		if err != nil {
			return nil, err
		}
		c.writers = append(c.writers, w)
	}
	if isolation == "serializable" {
		isolation = "repeatable read" // a standby refuses more
	}
	var err error
	c.reader, err = compile(dsn, isolation)
	return c, err
}

func compile(dsn, isolation string) (*sqlclient.Client, error) {
	c, problems := sqlclient.Compile(sqlclient.Config{
		Dialect: strictyaml.Text{Value: "postgres"}, DSN: strictyaml.Text{Value: dsn},
		Isolation: strictyaml.Text{Value: isolation},
	})
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Has implements native.Client.
func (c *client) Has(object string, f history.F) bool { return c.reader.Has(object, f) }

// Open implements native.Client. It connects at the first operation.
func (c *client) Open(
	_ context.Context, endpoints []string, object string,
) (native.Session, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("open a client: no endpoint")
	}
	n := c.opened.Add(1)
	return &session{
		client: c, endpoints: slices.Clone(endpoints), object: object,
		writer: place{client: c.writers[n%uint64(len(c.writers))]}, reader: place{client: c.reader},
	}, nil
}

// session is one logical client: a connection to the primary, and where it reads from its own
// node another one. It is used by one goroutine at a time.
type session struct {
	client         *client
	endpoints      []string
	object         string
	writer, reader place
}

// place is a connection to one endpoint at a time.
type place struct {
	client   *sqlclient.Client
	endpoint string
	session  *sqlclient.Session
}

func (p *place) at(endpoint, object string) (*sqlclient.Session, error) {
	if p.session != nil && p.endpoint == endpoint {
		return p.session, nil
	}
	_ = p.close() // of a node that is not the primary any more
	s, err := p.client.Open(endpoint, object)
	if err != nil {
		return nil, err
	}
	p.endpoint, p.session = endpoint, s
	return s, nil
}

func (p *place) close() error {
	if p.session == nil {
		return nil
	}
	s := p.session
	p.session = nil
	return s.Close()
}

// Close implements native.Session.
func (s *session) Close() error { return errors.Join(s.writer.close(), s.reader.close()) }

// Invoke implements native.Session.
func (s *session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if s.client.anywhere && !operation.Changes(op) {
		return s.readHere(ctx, op)
	}
	primary, err := s.primary(ctx)
	if errors.Is(err, errAlone) && !operation.Changes(op) {
		return s.readHere(ctx, op)
	}
	if err != nil {
		return op, history.Definite(err) // nothing was sent
	}
	w, err := s.writer.at(*primary, s.object)
	if err != nil {
		return op, err
	}
	result, err := w.Invoke(ctx, op)
	if errors.Is(err, sqlclient.ErrConnect) || readOnly(err) {
		// Down, or not the primary any more: somebody else may have been promoted.
		s.client.primary.CompareAndSwap(primary, nil)
	}
	return result, err
}

// readHere reads at the client's own node, at what a standby allows.
func (s *session) readHere(ctx context.Context, op history.Event) (history.Event, error) {
	r, err := s.reader.at(s.endpoints[0], s.object)
	if err != nil {
		return op, err
	}
	return r.Invoke(ctx, op)
}

// errAlone says that the only node that is known is a standby: there is nowhere else to read.
var errAlone = errors.New("a standby alone")

// primary finds the endpoint that can be written. It is asked for again when it failed.
func (s *session) primary(ctx context.Context) (*string, error) {
	if known := s.client.primary.Load(); known != nil && slices.Contains(s.endpoints, *known) {
		return known, nil
	}
	errs := []error{errors.New("no primary")}
	for _, endpoint := range s.endpoints {
		leads, err := ask(ctx, endpoint)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask %s: %w", endpoint, err))
		}
		if leads {
			s.client.primary.Store(&endpoint)
			return &endpoint, nil
		}
	}
	if len(s.endpoints) == 1 && len(errs) == 1 {
		return nil, errAlone
	}
	return nil, errors.Join(errs...)
}

// patience is how long a node may take to say whether it leads: one that is cut off must not
// use up the time for the others.
const patience = 500 * time.Millisecond

// ask asks a node whether it is the primary.
func ask(ctx context.Context, endpoint string) (leads bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, "postgres://ordeal@"+endpoint+"/postgres?sslmode=disable")
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "SELECT NOT pg_is_in_recovery()").Scan(&leads)
	return leads, err
}

// Status tells whether the node is the primary, so that faults can aim at it.
func (c *client) Status(ctx context.Context, endpoint string) (native.Status, error) {
	leads, err := ask(ctx, endpoint)
	return native.Status{Leads: leads}, err
}

// readOnly reports whether the node refused because it is a standby.
func readOnly(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "25006"
}
