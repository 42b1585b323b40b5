package ssh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// link is one connection. It ends when the other side closes it, when it does not
// answer any more, or by end.
type link struct {
	shell  *Shell
	hop    Hop
	client *ssh.Client

	once sync.Once
	dead chan struct{} // closed when why is set
	why  error
}

func (s *Shell) newLink(h Hop, c *ssh.Client) *link {
	l := &link{shell: s, hop: h, client: c, dead: make(chan struct{})}
	s.helper.Add(2)
	crash.Go(func() {
		defer s.helper.Done()
		err := c.Wait()
		if err == nil {
			err = fmt.Errorf("closed by %s", h)
		}
		l.end(fmt.Errorf("%w: %w", ErrLost, err))
	})
	crash.Go(func() {
		defer s.helper.Done()
		l.keepAlive()
	})
	return l
}

// end closes the connection; the first reason is the one that counts.
func (l *link) end(why error) {
	l.once.Do(func() {
		l.why = why
		close(l.dead)
		_ = l.client.Close() // it is given up, whatever comes of it
		l.shell.cfg.Logger.Debug("ssh: disconnected", "host", l.hop, "why", why)
	})
}

// err is why the connection has ended, nil while it lives.
func (l *link) err() error {
	select {
	case <-l.dead:
		return l.why
	default:
		return nil
	}
}

// keepAlive asks now and then whether somebody is there, because a network that
// delivers nothing tells of nothing.
func (l *link) keepAlive() {
	every := l.shell.cfg.AliveEvery
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.dead:
			return
		case <-l.shell.ctx.Done():
			l.end(ErrClosed)
			return
		}
		answered := make(chan error, 1)
		l.shell.helper.Add(1)
		crash.Go(func() {
			defer l.shell.helper.Done()
			// The answer is a refusal, as a rule: any will do.
			_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		})
		late := time.NewTimer(3 * every)
		select {
		case err := <-answered:
			if err != nil {
				l.end(fmt.Errorf("%w: %w", ErrLost, err))
			}
		case <-late.C:
			l.end(fmt.Errorf("%w: no answer from %s for %v", ErrLost, l.hop, 3*every))
		case <-l.dead:
		}
		late.Stop()
	}
}

// opened is the outcome of opening a channel.
type opened struct {
	ch   ssh.Channel
	reqs <-chan *ssh.Request
	err  error
}

// open opens a channel, on which nothing runs yet.
//
// Close does not wait for the goroutine that asks for the channel: x/crypto/ssh leaves
// it waiting forever when the request is written in the moment between the connection's
// end and its closing. It holds nothing but itself then, and nobody waits for it.
func (l *link) open(ctx context.Context) (*channel, error) {
	outcome := make(chan opened)
	gone := make(chan struct{})
	defer close(gone)
	crash.Go(func() {
		ch, reqs, err := l.client.OpenChannel("session", nil)
		select {
		case outcome <- opened{ch: ch, reqs: reqs, err: err}:
		case <-gone:
			if err == nil { // too late to be of use
				crash.Go(func() { ssh.DiscardRequests(reqs) })
				_ = ch.Close()
			}
		}
	})
	select {
	case o := <-outcome:
		if o.err != nil {
			return nil, fmt.Errorf("open a channel to %s: %w", l.hop, o.err)
		}
		return &channel{link: l, ch: o.ch, reqs: o.reqs}, nil
	case <-l.dead:
		return nil, l.why
	case <-ctx.Done():
		return nil, fmt.Errorf("open a channel to %s: %w", l.hop, ctx.Err())
	}
}
