package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/pkg/sftp"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Upload implements remote.Shell by SFTP. A file goes to its place only after what
// has arrived was read back. Somebody who is not root writes to /tmp, from where root
// takes it.
func (s *Shell) Upload(ctx context.Context, node nemesis.Node, f remote.File) error {
	var where func(posix.Leash) string
	if m := s.nodes[node]; m != nil && m.hop.as() != nil {
		where = func(l posix.Leash) string { return "/tmp/." + l.Name() }
	}
	return posix.Upload(ctx, s, node, f, where, func(ctx context.Context, path string) error {
		return s.put(ctx, node, path, f.Content)
	})
}

// put writes a new file by SFTP.
func (s *Shell) put(
	ctx context.Context, node nemesis.Node, path string, content []byte,
) error {
	m := s.nodes[node]
	lost := func(ran remote.Ran, err error) error {
		return &remote.TransportError{Node: node, Doing: "sftp", Ran: ran, Err: err}
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return lost(remote.NotRun, err)
	}
	defer done()
	if err := m.enter(ctx); err != nil {
		return lost(remote.NotRun, err)
	}
	defer m.leave()
	ch, err := m.open(ctx)
	if err != nil {
		return lost(remote.NotRun, err)
	}
	defer ch.drop()
	ch.background(func() { hear(ch.reqs, make(chan int, 1)) })
	if ran, err := ch.request(ctx, "subsystem", "sftp"); err != nil {
		return lost(ran, err)
	}
	// The client knows no context: the end of its channel ends it.
	outcome := make(chan error, 1)
	ch.background(func() { outcome <- send(ch, path, content) })
	select {
	case err := <-outcome:
		if err != nil && ch.link.err() != nil {
			return lost(remote.MayHaveRun, ch.link.why)
		}
		return err
	case <-ctx.Done():
		return lost(remote.MayHaveRun, ctx.Err())
	}
}

// send speaks SFTP.
func send(ch *channel, path string, content []byte) error {
	client, err := sftp.NewClientPipe(ch.ch, ch.ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("sftp: %w", err)
	}
	defer func() { _ = client.Close() }() // what counts was read back, or will be
	f, err := client.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := client.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("chmod %s: %w", path, err), f.Close())
	}
	_, err = f.ReadFrom(bytes.NewReader(content))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
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
