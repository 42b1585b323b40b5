package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// session is one logical client: one connection to the primary, and with reads=local one to
// its own node.
type session struct {
	client    *Client
	object    string
	endpoints []string
	primary   *connection // nil: there is none
	own       *connection // likewise
}

// Close implements native.Session.
func (s *session) Close() error {
	s.drop()
	return nil
}

func (s *session) drop() {
	for _, l := range []**connection{&s.primary, &s.own} {
		if *l != nil {
			(*l).close()
			*l = nil
		}
	}
}

// errMismatch is a compare-and-set that compared.
var errMismatch = errors.New("it holds something else")

// Invoke sends the operation once. What goes wrong before it is sent is a definite failure;
// then the reply decides.
func (s *session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if !s.client.Has(s.object, op.F) {
		return op, operation.Brokenf("%s of a %s is not known", op.F, s.object)
	}
	reads := op.F == "read"
	l, err := s.connect(ctx, reads)
	if err != nil {
		s.drop()
		return op, history.Definite(fmt.Errorf("connect: %w", err))
	}
	out, err := s.command(ctx, l.conn, op)
	switch {
	case errors.Is(err, errMismatch) || operation.IsBroken(err):
		return op, err
	case err != nil:
		s.drop() // nobody knows in which state it is, or the primary is another one
		if reads || refused(err) {
			err = history.Definite(err)
		}
		return op, err
	}
	if reads {
		err = history.Definite(s.seen(ctx, l))
	} else {
		err = s.replicated(ctx, l.conn)
	}
	if err != nil {
		return op, err
	}
	op.Value = out
	return op, nil
}

// connect returns the connection for the operation.
func (s *session) connect(ctx context.Context, reads bool) (*connection, error) {
	if reads && s.client.local {
		if s.own == nil {
			s.own = dial(s.endpoints[0])
		}
		return s.own, nil
	}
	if s.primary != nil {
		return s.primary, nil
	}
	address, err := s.client.primary(ctx, s.endpoints[0])
	if err != nil {
		return nil, err
	}
	l := dial(address)
	r, err := l.role(ctx)
	if err == nil && !r.primary {
		err = errors.New("it is a replica")
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("primary %s: %w", address, err)
	}
	s.primary = l
	return l, nil
}

// swap is compare-and-set. Nothing comes after its one write, so that an error means that
// this was not done.
const swap = `if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2])
return 1`

// command does what the operation says; the error is the server's or the connection's.
func (s *session) command(
	ctx context.Context, c *redis.Conn, op history.Event,
) (history.Value, error) {
	key := strings.TrimPrefix(s.object, "cas-") + ":" + string(op.Key)
	switch s.object + " " + string(op.F) {
	case "set add":
		return op.Value, c.SAdd(ctx, key, op.Value.String()).Err()
	case "set read":
		words, err := c.SMembers(ctx, key).Result()
		return integers(words, err)
	case "log append":
		n, err := c.RPush(ctx, key, op.Value.String()).Result()
		return history.Int(n - 1), err
	case "log read":
		words, err := c.LRange(ctx, key, 0, -1).Result()
		return integers(words, err)
	case "queue enqueue":
		return op.Value, c.RPush(ctx, key, op.Value.String()).Err()
	case "queue dequeue":
		return integer(c.LPop(ctx, key).Result())
	case "counter add":
		n, _ := op.Value.AsInt()
		return op.Value, c.IncrBy(ctx, key, n).Err()
	case "counter read":
		v, err := integer(c.Get(ctx, key).Result())
		if err == nil && v.IsNil() {
			v = history.Int(0)
		}
		return v, err
	}
	switch op.F { // of a register, with compare-and-set or without
	case "read":
		return integer(c.Get(ctx, key).Result())
	case "write":
		return op.Value, c.Set(ctx, key, op.Value.String(), 0).Err()
	default:
		old, next := op.Value.At(0).String(), op.Value.At(1).String()
		n, err := c.Eval(ctx, swap, []string{key}, old, next).Int()
		if err == nil && n == 0 {
			err = history.Definite(errMismatch)
		}
		return op.Value, err
	}
}

// seen waits until enough replicas have what was read: a write after the read has a later
// place in what they get. Without it, clients see what is not acknowledged yet and may never
// be.
func (s *session) seen(ctx context.Context, l *connection) error {
	if s.client.wait == 0 || !s.client.waitReads || l != s.primary {
		return nil
	}
	if err := l.conn.Set(ctx, "ordeal-seen", 1, 0).Err(); err != nil {
		s.drop()
		return fmt.Errorf("read, but mark it: %w", err)
	}
	return s.replicated(ctx, l.conn)
}

// replicated waits until enough replicas have what this connection has written. Whatever goes
// wrong: it was written.
func (s *session) replicated(ctx context.Context, c *redis.Conn) error {
	if s.client.wait == 0 {
		return nil
	}
	n, err := c.Wait(ctx, s.client.wait, s.client.waitTimeout).Result()
	if err != nil {
		s.drop()
		return fmt.Errorf("done, but wait: %w", err)
	}
	if n < int64(s.client.wait) {
		return fmt.Errorf("done, but %d replicas have it, not %d", n, s.client.wait)
	}
	return nil
}

// integer reads what a string holds, nil if there is none.
func integer(word string, err error) (history.Value, error) {
	if errors.Is(err, redis.Nil) {
		return history.Nil(), nil
	}
	if err != nil {
		return history.Nil(), err
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return history.Nil(), operation.Brokenf("%q is not what it writes: %w", word, err)
	}
	return history.Int(n), nil
}

func integers(words []string, err error) (history.Value, error) {
	if err != nil {
		return history.Nil(), err
	}
	all := make([]int64, len(words))
	for i, word := range words {
		v, err := integer(word, nil)
		if err != nil {
			return history.Nil(), err
		}
		all[i], _ = v.AsInt()
	}
	return history.Ints(all...), nil
}

// refusals are the first words of replies by which a server says that it has not done what it
// was told, and will not. It looks for their causes before it executes a command; a script of
// ours ends with the one that it executes.
func refusals() []string {
	return []string{
		"READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "MISCONF", "OOM", "BUSY", "NOAUTH",
		"NOPERM", "WRONGTYPE",
	}
}

// refused reports whether an error is such a reply. All others, and what is no reply, prove
// nothing.
func refused(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	word, _, _ := strings.Cut(reply.Error(), " ")
	return slices.Contains(refusals(), word)
}
