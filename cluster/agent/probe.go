package agent

import (
	"context"
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

const refused = "refused"

// Datagrams are probes of single directions: whoever is to see them counts them where
// they arrive.
type Datagrams struct {
	// To are addresses like "10.0.0.2:7009" or "[fd00::2]:7009".
	To   []string
	Text string
	// Times is how often each gets one, Pause what lies between.
	Times int
	Pause time.Duration
}

// Sent is how many datagrams the kernel took, and why it did not take the last that it
// refused.
type Sent struct {
	Sent  int    `json:"sent"`
	Error string `json:"error,omitempty"`
}

// Validate lists everything that is wrong.
func (d Datagrams) Validate() error {
	var errs []error
	if len(d.To) == 0 {
		errs = append(errs, errors.New("no address to send to"))
	}
	for _, to := range d.To {
		if _, port, err := net.SplitHostPort(to); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("address %q is not like 10.0.0.2:7009", to))
		}
	}
	if d.Times < 1 || d.Pause < 0 {
		errs = append(errs, fmt.Errorf("%d times with a pause of %v", d.Times, d.Pause))
	}
	return errors.Join(errs...)
}

// Send sends them, until ctx ends. One that cannot be sent is no error: that there is no
// way is what a probe is to find out.
func (d Datagrams) Send(ctx context.Context) Sent {
	var s Sent
	for i := range d.Times {
		if i > 0 && !rest(ctx, d.Pause) {
			break
		}
		for _, to := range d.To {
			if err := sendOne(ctx, to, d.Text); err != nil {
				s.Error = err.Error()
				continue
			}
			s.Sent++
		}
	}
	return s
}

// sendOne sends from a socket of its own: on one that was used before, a refusal of the
// last datagram would be an error of this one.
func sendOne(ctx context.Context, to, text string) error {
	dialer := net.Dialer{Control: markProbe}
	conn, err := dialer.DialContext(ctx, "udp", to)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(text + "\n"))
	return errors.Join(err, conn.Close())
}

// rest waits and reports whether ctx is alive at the end.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Target is somebody to be reached.
type Target struct {
	Name nemesis.Node
	// Address is "10.0.0.2:7000" or "[fd00::2]:7000".
	Address string
}

// ParseTargets reads "n2=10.0.0.2:7000,n3=…".
func ParseTargets(s string) ([]Target, error) {
	var targets []Target
	var errs []error
	for _, part := range strings.Split(s, ",") {
		name, address, _ := strings.Cut(part, "=")
		_, port, err := net.SplitHostPort(address)
		if name == "" || err != nil || port == "" {
			errs = append(errs, fmt.Errorf("%w: target %q is not like n2=10.0.0.2:7000", ErrUsage, part))
			continue
		}
		targets = append(targets, Target{Name: nemesis.Node(name), Address: address})
	}
	return targets, errors.Join(errs...)
}

// FindReach finds out who answers when one connects from here, all at once, within limit.
// Nothing is said on a connection: who listens there may be the system itself.
func FindReach(ctx context.Context, targets []Target, limit time.Duration) []Reach {
	begin := time.Now()
	ctx, cancel := context.WithDeadline(ctx, begin.Add(limit))
	defer cancel()
	all := make([]Reach, len(targets))
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(crash.Guard(func() {
			r := Reach{To: target.Name, Address: target.Address}
			r.Answers, r.Error = verdictOf(connect(ctx, target))
			r.Time = time.Since(begin)
			all[i] = r
		}))
	}
	wg.Wait()
	return all
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

func connect(ctx context.Context, t Target) error {
	dialer := net.Dialer{Control: markProbe}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}
