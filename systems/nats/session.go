package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// session is one logical client: one connection to its node.
type session struct {
	client           *Client
	object, endpoint string
	link             *link // nil: there is none
}

// Close implements native.Session.
func (s *session) Close() error {
	s.drop()
	return nil
}

func (s *session) drop() {
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
}

// errMismatch is a compare-and-set that compared.
var errMismatch = errors.New("it holds something else")

// Invoke sends the operation once. What goes wrong before it is sent is a definite failure;
// then the answer decides.
func (s *session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if !s.client.Has(s.object, op.F) {
		return op, operation.Brokenf("%s of a %s is not known", op.F, s.object)
	}
	if err := s.connect(ctx); err != nil {
		if !operation.IsBroken(err) {
			err = history.Definite(fmt.Errorf("connect: %w", err))
		}
		return op, err
	}
	subject := stream + "." + strings.TrimPrefix(s.object, "cas-") + "." + string(op.Key)
	out, err := s.perform(ctx, subject, op)
	if err != nil {
		if op.F == "read" && !operation.IsBroken(err) {
			err = history.Definite(err)
		}
		if !errors.Is(err, errMismatch) {
			s.drop() // whoever answers later is not to be heard
		}
		return op, err
	}
	op.Value = out
	return op, nil
}

func (s *session) connect(ctx context.Context) error {
	if s.link != nil && s.link.alive() {
		return nil
	}
	s.drop()
	l, err := dial(ctx, s.endpoint)
	if err != nil {
		return err
	}
	if _, err := l.ensure(ctx, s.client.replicas); err != nil {
		l.close()
		return err
	}
	s.link = l
	return nil
}

func (s *session) perform(
	ctx context.Context, subject string, op history.Event,
) (history.Value, error) {
	switch s.object + " " + string(op.F) {
	case "set add":
		_, err := s.publish(ctx, subject+"."+op.Value.String(), op.Value)
		return op.Value, err
	case "log append":
		at, err := s.publish(ctx, subject+"."+op.Value.String(), op.Value)
		return history.Int(int64(at)), err // unique and rising, as a position is
	case "set read", "log read":
		return s.all(ctx, subject)
	}
	switch op.F { // of a register, with compare-and-set or without
	case "read":
		v, _, err := s.last(ctx, subject)
		return v, err
	case "write":
		_, err := s.publish(ctx, subject, op.Value)
		return op.Value, err
	default:
		have, at, err := s.last(ctx, subject)
		if err != nil {
			return op.Value, history.Definite(err)
		}
		if !have.Equal(op.Value.At(0)) {
			return op.Value, history.Definite(errMismatch)
		}
		_, err = s.publish(ctx, subject, op.Value.At(1),
			jetstream.WithExpectLastSequencePerSubject(at))
		return op.Value, err
	}
}

// publish sends a message once and waits for the acknowledgement, which has the message's
// number in the stream.
func (s *session) publish(
	ctx context.Context, subject string, v history.Value, opts ...jetstream.PublishOpt,
) (uint64, error) {
	ack, err := s.link.js.Publish(ctx, subject, []byte(v.String()),
		append(opts, jetstream.WithRetryAttempts(0))...)
	if err != nil {
		err = fmt.Errorf("publish: %w", err)
		if refused(err) {
			err = history.Definite(err)
		}
		return 0, err
	}
	return ack.Sequence, nil
}

// Errors of the stream that prove that it did not take a message: it is not the next one
// after the one that was expected. The server has two of them.
const (
	wrongLastSequence         = jetstream.ErrorCode(10071)
	wrongLastSequenceConstant = jetstream.ErrorCode(10164)
)

// refused reports whether an error of a publication proves that nothing happened. Without
// responders there was nobody whom the server could have given the message to.
func refused(err error) bool {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceConstant)
}

// last reads the last message of a subject and its number; nil and 0 if there is none.
func (s *session) last(ctx context.Context, subject string) (history.Value, uint64, error) {
	get := s.direct
	if s.client.leader {
		get = s.atLeader
	}
	data, at, err := get(ctx, subject)
	if err != nil || at == 0 {
		return history.Nil(), 0, err
	}
	n, err := number(data)
	return history.Int(n), at, err
}

type lastRequest struct {
	Last string `json:"last_by_subj"`
}

// direct asks any replica.
func (s *session) direct(ctx context.Context, subject string) ([]byte, uint64, error) {
	m, err := s.ask(ctx, "$JS.API.DIRECT.GET."+stream, lastRequest{subject})
	if err != nil {
		return nil, 0, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		at, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		return m.Data, at, err
	case "404":
		return nil, 0, nil
	default:
		return nil, 0, fmt.Errorf("get: %s %s", status, m.Header.Get("Description"))
	}
}

// atLeader asks the replica that leads, or thinks that it does.
func (s *session) atLeader(ctx context.Context, subject string) ([]byte, uint64, error) {
	m, err := s.ask(ctx, "$JS.API.STREAM.MSG.GET."+stream, lastRequest{subject})
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Message struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, 0, fmt.Errorf("get: %w", err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, 0, nil
		}
		return nil, 0, fmt.Errorf("get: %w", answer.Error)
	}
	return answer.Message.Data, answer.Message.Seq, nil
}

func (s *session) ask(ctx context.Context, subject string, request any) (*nats.Msg, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	return s.link.conn.RequestWithContext(ctx, subject, body)
}

// lastsRequest asks for the last message of each of many subjects.
type lastsRequest struct {
	Lasts []string `json:"multi_last"`
}

// all reads all elements of a set or log, each of which has a subject of its own, in the order
// of the stream, of any replica. (Messages of one subject could be asked for in batches, but by
// that nats-server 2.12.1 locks up while others publish: it takes a stream's lock for reading
// twice.)
func (s *session) all(ctx context.Context, subject string) (history.Value, error) {
	inbox := s.link.conn.NewInbox()
	sub, err := s.link.conn.SubscribeSync(inbox)
	if err != nil {
		return history.Nil(), err
	}
	defer func() { _ = sub.Unsubscribe() }()
	body, err := json.Marshal(lastsRequest{[]string{subject + ".*"}})
	if err != nil {
		return history.Nil(), err
	}
	if err := s.link.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return history.Nil(), err
	}
	list, err := elements(ctx, sub)
	if err != nil {
		return history.Nil(), fmt.Errorf("get all: %w", err)
	}
	return history.Ints(list...), nil
}

// elements receives what one request has asked for, up to the message that ends it.
func elements(ctx context.Context, sub *nats.Subscription) ([]int64, error) {
	var list []int64
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		status, why := m.Header.Get("Status"), m.Header.Get("Description")
		switch {
		case status == "":
			n, err := number(m.Data)
			if err != nil {
				return nil, err
			}
			list = append(list, n)
		case status == "204" && m.Header.Get("Nats-Num-Pending") == "0":
			return list, nil
		case status == "404" && why == "No Results":
			return nil, nil
		default: // also an end that comes before the last one, and one that is missing
			return nil, fmt.Errorf("%s %s", status, why)
		}
	}
}

// number reads what a message holds.
func number(data []byte) (int64, error) {
	n, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return 0, operation.Brokenf("%q is not what it publishes: %w", data, err)
	}
	return n, nil
}
