// Package ssh runs commands on nodes over SSH: a remote.Shell. There is one connection
// a node, which all commands and files share, and one for each jump host.
//
// What a broken connection leaves open is told, never guessed. A command is run at most
// once: connecting is tried again, a bounded number of times, running is not. A command
// runs on a leash (package posix), which tells apart what has not been run and what may
// have been. What may have been run may even still run, which would be worse than not to
// know: a fault that is injected after it was healed. So nothing else is run on that node
// before it is seen to be gone, or its time limit there is over.
//
// Machines are known by their host keys, from known_hosts files. There is no way to
// switch that off.
package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

var (
	// ErrHostKey says that a machine is not the one that it should be, or not known.
	ErrHostKey = errors.New("host key")
	// ErrLost says that a connection broke.
	ErrLost = errors.New("connection lost")
	// ErrClosed says that the Shell has been closed.
	ErrClosed = errors.New("ssh: closed")
)

const (
	// sessions is how many commands run at once on a node: sshd allows 10 channels of
	// a connection, and a kill needs one when all are taken.
	sessions = 7
	// nodeSlack is how much later than here a command's time is over on the node.
	nodeSlack = 2 * time.Second
	// killTime bounds the killing of a command whose context has ended.
	killTime = 3 * time.Second
	// killLimit is the limit of a kill on the node.
	killLimit = 10 * time.Second
)

// Shell is a remote.Shell over SSH.
type Shell struct {
	cfg   Config
	keys  map[string]ssh.Signer
	known *hostKeys

	// ctx ends with Close. It is no call's, but what connections live on.
	ctx    context.Context
	close  context.CancelFunc
	nodes  map[nemesis.Node]*machine
	jumps  map[string]*machine
	helper sync.WaitGroup // calls, and goroutines that outlive them

	mu     sync.Mutex
	closed bool
}

var _ remote.Shell = (*Shell)(nil)

// New reads the keys and the known hosts. It connects to nobody: the first command
// does.
func New(cfg Config) (*Shell, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Shell{
		cfg:   cfg.withDefaults(),
		keys:  make(map[string]ssh.Signer),
		nodes: make(map[nemesis.Node]*machine),
		jumps: make(map[string]*machine),
	}
	known, err := loadHostKeys(cfg.KnownHosts)
	errs := []error{err, loadKeys(cfg.KeyFiles, s.keys)}
	s.known = known
	s.ctx, s.close = context.WithCancel(context.Background())
	for n, h := range cfg.Hosts {
		errs = append(errs, loadKeys(h.KeyFiles, s.keys))
		m := s.newMachine(h.Hop)
		if h.Jump != nil {
			errs = append(errs, loadKeys(h.Jump.KeyFiles, s.keys))
			id := fmt.Sprintf("%s %q", h.Jump, h.Jump.KeyFiles)
			if s.jumps[id] == nil {
				s.jumps[id] = s.newMachine(*h.Jump)
			}
			m.jump = s.jumps[id]
		}
		s.nodes[n] = m
	}
	if err := errors.Join(errs...); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Close ends all connections, and with them the waiting for what runs. It does not
// kill commands: each ends at its time limit at the latest.
func (s *Shell) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	for _, m := range s.nodes {
		m.hangUp(ErrClosed)
	}
	for _, m := range s.jumps {
		m.hangUp(ErrClosed)
	}
	s.helper.Wait()
	return nil
}

// Run implements remote.Shell.
func (s *Shell) Run(
	ctx context.Context, node nemesis.Node, c remote.Command,
) (remote.Result, error) {
	var out bytes.Buffer
	r, ran, err := s.run(ctx, node, c, &out, remote.MaxOutput)
	if err != nil {
		return remote.Result{}, &remote.TransportError{
			Node: node, Doing: remote.CommandLine(c.Argv), Ran: ran, Err: err,
		}
	}
	r.Stdout = out.Bytes()
	return r, nil
}

// run runs one command, whose standard output goes to out, up to a number of bytes.
func (s *Shell) run(ctx context.Context, node nemesis.Node, c remote.Command, out io.Writer,
	most int64,
) (remote.Result, remote.Ran, error) {
	m := s.nodes[node]
	if m == nil {
		return remote.Result{}, remote.NotRun, errors.New("no such node")
	}
	if len(c.Argv) == 0 {
		return remote.Result{}, remote.NotRun, errors.New("no command")
	}
	if err := ctx.Err(); err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	defer done()
	if err := m.enter(ctx); err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	defer m.leave()
	ch, err := m.open(ctx)
	if err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	end, _ := ctx.Deadline()
	leash := posix.NewLeash(time.Until(end) + nodeSlack)
	r, ran, err := ch.exec(ctx, task{
		leash: leash, as: m.hop.as(), argv: c.Argv, stdin: c.Stdin, out: out, most: most,
	})
	if err != nil && ran == remote.MayHaveRun {
		m.settle(leash)
	}
	return r, ran, err
}

// begin counts a call, so that Close waits for its end, and gives it a context that has
// a deadline and ends with Close, too.
func (s *Shell) begin(ctx context.Context) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	s.helper.Add(1)
	limit := s.cfg.CommandTime
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(s.ctx, crash.Guard(cancel))
	return ctx, func() {
		stop()
		cancel()
		s.helper.Done()
	}, nil
}
