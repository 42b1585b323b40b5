package posix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// removeTime bounds the removal of what an upload that failed has left.
const removeTime = 3 * time.Second

// Upload does what remote.Shell says of it. Stage brings the content to the node, to
// the file whose path it is given, which does not exist, and whose directory does.
// Where is that path; empty means beside the file itself.
func Upload(ctx context.Context, sh remote.Shell, node nemesis.Node, f remote.File, where func(
	Leash) string, stage func(ctx context.Context, path string) error,
) error {
	err := upload(ctx, sh, node, f, where, stage)
	var t *remote.TransportError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &t):
		return &remote.TransportError{Node: node, Doing: "upload " + f.Path, Ran: t.Ran, Err: t.Err}
	default:
		return fmt.Errorf("%s: upload %s: %w", node, f.Path, err)
	}
}

func upload(ctx context.Context, sh remote.Shell, node nemesis.Node, f remote.File, where func(
	Leash) string, stage func(ctx context.Context, path string) error,
) error {
	digest := sha256.Sum256(f.Content)
	sum := hex.EncodeToString(digest[:])
	r, err := sh.Run(ctx, node, SameCommand(f, sum))
	if err != nil {
		return err
	}
	if Same(r) {
		return nil
	}
	leash := NewLeash(0)
	staged := Staged(f, leash)
	if where != nil {
		staged = where(leash)
	} else if _, err := remote.Must(ctx, sh, node, ParentCommand(f)); err != nil {
		return err
	}
	err = stage(ctx, staged)
	if err == nil {
		r, err = sh.Run(ctx, node, PlaceCommand(f, leash, staged, sum))
	}
	if err != nil {
		return errors.Join(err, remove(ctx, sh, node, staged))
	}
	if r.Status != 0 {
		return Failed(r)
	}
	return nil
}

// remove removes what an upload that has failed left, if the node can be reached.
func remove(ctx context.Context, sh remote.Shell, node nemesis.Node, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	_, err := remote.Must(ctx, sh, node, remote.Command{Argv: []string{"rm", "-f", path}})
	if err != nil {
		return fmt.Errorf("%s may be left: %w", path, err)
	}
	return nil
}
