// Package compose runs commands in the containers of a compose project: a remote.Shell
// over `docker exec`. It needs no SSH, no keys and no network to the nodes, only the
// docker program and the right to use it.
//
// `docker exec` leaves open what happened when it fails: its own troubles and the
// command's share one exit status, and its end does not end the command. So commands run
// on a leash (package posix), and the shell in the container tells the status itself.
package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// ErrLost says that docker ended before the command did, or did not tell of its end.
var ErrLost = errors.New("docker exec was lost")

const (
	// sessions is how many commands run at once in a container.
	sessions = 12
	// nodeSlack is how much later than here a command's time is over in the container.
	nodeSlack = 2 * time.Second
	// commandTime bounds a command whose context has no end.
	commandTime = 2 * time.Minute
	// killTime bounds the killing of a command whose context has ended, killLimit is its
	// limit in the container.
	killTime  = 5 * time.Second
	killLimit = 10 * time.Second
)

// Shell is a remote.Shell over docker exec.
type Shell struct {
	docker []string
	nodes  map[nemesis.Node]*container
}

var _ remote.Shell = (*Shell)(nil)

// container is a node.
type container struct {
	id    string
	slots chan struct{}
	// lock is held while killing what is left.
	lock  chan struct{}
	loose posix.Loose
}

// NewShell returns a shell for containers, by their IDs or names. Docker is the program
// and its first arguments; nil is plain docker.
func NewShell(docker []string, ids map[nemesis.Node]string) *Shell {
	if len(docker) == 0 {
		docker = []string{"docker"}
	}
	s := &Shell{docker: docker, nodes: make(map[nemesis.Node]*container)}
	for n, id := range ids {
		s.nodes[n] = &container{
			id: id, slots: make(chan struct{}, sessions), lock: make(chan struct{}, 1),
		}
	}
	return s
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

// Upload implements remote.Shell.
func (s *Shell) Upload(ctx context.Context, node nemesis.Node, f remote.File) error {
	return posix.Upload(ctx, s, node, f, nil, func(ctx context.Context, path string) error {
		_, err := remote.Must(ctx, s, node, posix.StageCommand(path, f.Content))
		return err
	})
}

// Download implements remote.Shell.
func (s *Shell) Download(
	ctx context.Context, node nemesis.Node, path string, w io.Writer,
) error {
	r, ran, err := s.run(ctx, node, posix.ReadCommand(path), w, math.MaxInt64)
	if err != nil {
		return &remote.TransportError{Node: node, Doing: "download " + path, Ran: ran, Err: err}
	}
	if err := posix.ReadError(r); err != nil {
		return fmt.Errorf("%s: download %s: %w", node, path, err)
	}
	return nil
}

// run runs one command, whose standard output goes to out, up to a number of bytes.
func (s *Shell) run(ctx context.Context, node nemesis.Node, c remote.Command, out io.Writer,
	most int64,
) (remote.Result, remote.Ran, error) {
	n := s.nodes[node]
	if n == nil {
		return remote.Result{}, remote.NotRun, errors.New("no such node")
	}
	if len(c.Argv) == 0 {
		return remote.Result{}, remote.NotRun, errors.New("no command")
	}
	if err := ctx.Err(); err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		ctx = limited
	}
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		return remote.Result{}, remote.NotRun, ctx.Err()
	}
	if err := s.killLoose(ctx, n); err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	end, _ := ctx.Deadline()
	leash := posix.NewLeash(time.Until(end) + nodeSlack)
	r, ran, err := s.exec(ctx, n, leash, c, out, most)
	if err != nil && ran == remote.MayHaveRun {
		n.loose.Add(leash)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
		defer cancel()
		_ = s.killLoose(ctx, n) // else before the next command
	}
	return r, ran, err
}

// killLoose kills what may still run of commands whose end was not seen.
func (s *Shell) killLoose(ctx context.Context, n *container) error {
	select {
	case n.lock <- struct{}{}:
		defer func() { <-n.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ids := n.loose.IDs()
	if len(ids) == 0 {
		return nil
	}
	r, _, err := s.exec(ctx, n, posix.NewLeash(killLimit), posix.KillCommand(ids), io.Discard,
		remote.MaxOutput)
	if err == nil && r.Status != 0 {
		err = posix.Failed(r)
	}
	if err != nil {
		return fmt.Errorf("kill what is left of earlier commands: %w", err)
	}
	n.loose.Killed(ids)
	return nil
}
