package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// probeWord is in every probe, and answerWord in every answer.
	probeWord  = "ordeal-probe-1"
	answerWord = "ordeal-answer-1"
	// probeTries is how often a datagram is sent within the time limit.
	probeTries = 5
	// probeMost bounds a probe's size.
	probeMost = 1024
	refused   = "refused"
)

// probeMessage is a datagram.
type probeMessage struct {
	Word  string       `json:"word"`
	Nonce string       `json:"nonce"`
	Name  nemesis.Node `json:"name"` // of who sends it
}

// Target is somebody to be probed.
type Target struct {
	Name nemesis.Node
	// Address is "10.0.0.2:7071" or "[fd00::2]:7071".
	Address string
}

// ParseTargets reads "n2=10.0.0.2:7071,n3=…".
func ParseTargets(s string) ([]Target, error) {
	var targets []Target
	var errs []error
	for _, part := range strings.Split(s, ",") {
		name, address, _ := strings.Cut(part, "=")
		_, port, err := net.SplitHostPort(address)
		if name == "" || err != nil || port == "" {
			errs = append(errs, fmt.Errorf("%w: target %q is not like n2=10.0.0.2:7071", ErrUsage, part))
			continue
		}
		targets = append(targets, Target{Name: nemesis.Node(name), Address: address})
	}
	return targets, errors.Join(errs...)
}

// Probe finds out which targets can be reached from here, all at once, within limit.
// What the targets' daemons have heard under the nonce tells of the single ways.
func Probe(
	ctx context.Context, from nemesis.Node, nonce string, targets []Target, limit time.Duration,
) ProbeResult {
	begin := time.Now()
	ctx, cancel := context.WithDeadline(ctx, begin.Add(limit))
	defer cancel()
	r := ProbeResult{From: from, Nonce: nonce, Reach: make([]Reach, len(targets))}
	hello, err := json.Marshal(probeMessage{Word: probeWord, Nonce: nonce, Name: from})
	if err != nil {
		hello = nil // two strings can always be written
	}
	var wg sync.WaitGroup
	for i, target := range targets {
		reach := &r.Reach[i]
		reach.To, reach.Address = target.Name, target.Address
		wg.Go(crash.Guard(func() {
			reach.UDP, reach.UDPError = verdictOf(probeUDP(ctx, target, hello, nonce, limit))
			reach.UDPTime = time.Since(begin)
		}))
		wg.Go(crash.Guard(func() {
			reach.TCP, reach.TCPError = verdictOf(probeTCP(ctx, target))
			reach.TCPTime = time.Since(begin)
		}))
	}
	wg.Wait()
	return r
}

// verdictOf says what an error means for the way there and back.
func verdictOf(err error) (bool, string) {
	switch {
	case err == nil:
		return true, ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, refused
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return false, "no answer"
	}
	return false, err.Error()
}

// probeUDP sends datagrams until one is answered.
func probeUDP(
	ctx context.Context, t Target, hello []byte, nonce string, limit time.Duration,
) error {
	dialer := net.Dialer{Control: markProbe}
	conn, err := dialer.DialContext(ctx, "udp", t.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	end, _ := ctx.Deadline()
	for range probeTries {
		if _, err := conn.Write(hello); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return err
			}
			// No route, say: that may change within the time.
		}
		again := time.Now().Add(limit / probeTries)
		if again.After(end) {
			again = end
		}
		if err = awaitAnswer(conn, t, nonce, again); err == nil ||
			errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// awaitAnswer reads until the target's answer has come.
func awaitAnswer(conn net.Conn, t Target, nonce string, until time.Time) error {
	buf := make([]byte, probeMost)
	if err := conn.SetReadDeadline(until); err != nil {
		return err
	}
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		var m probeMessage
		if json.Unmarshal(buf[:n], &m) != nil || m.Word != answerWord || m.Nonce != nonce {
			continue
		}
		if m.Name != t.Name {
			return fmt.Errorf("at %s there is %q", t.Address, m.Name)
		}
		return nil
	}
}

// probeTCP connects and says nothing: who listens there may be the system itself.
func probeTCP(ctx context.Context, t Target) error {
	dialer := net.Dialer{Control: markProbe}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}
