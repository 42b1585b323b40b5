package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wal"
)

// Factory makes one node's machine.
type Factory func(protocol.Config) (protocol.Machine, error)

// Config is what a node is started with.
type Config struct {
	// Protocol is the name of what New makes, for the log. New may be nil while
	// the rest is validated, not when the node is opened.
	Protocol string
	New      Factory
	// Salvages says that the machine can go on from a damaged log, see
	// protocol.Config.Damaged; others refuse to start with one.
	Salvages bool
	// Rejoins says that the machine can go on from a disk that was wiped. Its epochs
	// then count from the time at which a disk was first used, so that they only grow.
	Rejoins bool
	ID      protocol.NodeID
	// Peers has, for each member, the address to which this node sends. It need
	// not be where the peer listens: a relay may stand between. The address of
	// the node itself is not used and may be missing.
	Peers map[protocol.NodeID]string
	// DataDir is made if it does not exist. One process at a time may use it.
	DataDir string
	// Bind and PeerBind are the addresses for HTTP and for datagrams; port 0
	// picks a free one.
	Bind, PeerBind string
	// ReadyFile, if not "", receives the addresses once the node serves.
	ReadyFile string
	// Bugs are the planted bugs that are switched on.
	Bugs bug.Set
	// Volatile keeps unsynced bytes in the memory of the process, so that
	// SIGKILL loses them as a power cut would.
	Volatile bool
	// ClockFile, if not "", bends the clock; see Setting.
	ClockFile string
	// DiskFile, if not "", troubles the disk; see DiskSetting.
	DiskFile string
	// Seed decides the machine's choices. Node and epoch are mixed in, so that
	// the nodes of a cluster may share it.
	Seed uint64
	// ClusterID keeps clusters apart that reach each other's ports.
	ClusterID string
	// RequestTimeout bounds, in the node's monotonic time, how long a request
	// may stay unanswered.
	RequestTimeout time.Duration
	// Version is logged and served.
	Version string
	Log     *slog.Logger

	// fs, if not nil, replaces the file system, for tests of bad disks.
	fs wal.FS
}

// Members returns the configured nodes, sorted by name: the same order everywhere.
func (c *Config) Members() []protocol.NodeID {
	members := []protocol.NodeID{c.ID}
	for id := range c.Peers {
		if id != c.ID {
			members = append(members, id)
		}
	}
	slices.Sort(members)
	return members
}

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	if c.Log == nil {
		bad("log: none")
	}
	if err := checkName(string(c.ID)); err != nil {
		bad("id %q: %w", c.ID, err)
	}
	for _, id := range slices.Sorted(maps.Keys(c.Peers)) {
		if err := checkName(string(id)); err != nil {
			bad("peer %q: %w", id, err)
		}
		if err := checkAddress(c.Peers[id], 1); err != nil && id != c.ID {
			bad("peer %s: %w", id, err)
		}
	}
	if err := checkAddress(c.Bind, 0); err != nil {
		bad("bind: %w", err)
	}
	if err := checkAddress(c.PeerBind, 0); err != nil {
		bad("peer-bind: %w", err)
	}
	if c.DataDir == "" {
		bad("data: no directory given")
	}
	if c.ClusterID == "" {
		bad("cluster-id: empty")
	}
	if c.RequestTimeout < time.Millisecond || c.RequestTimeout > time.Hour {
		bad("request-timeout %v: not between 1ms and 1h", c.RequestTimeout)
	}
	return errors.Join(problems...)
}

// checkName allows what is safe in logs, flags and file names.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a name has 1 to %d characters", maxName)
	}
	for _, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			r == '-' || r == '_' || r == '.'
		if !ok {
			return fmt.Errorf("character %q: only letters, digits and -_. are allowed", r)
		}
	}
	return nil
}

func checkAddress(address string, minPort int) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: want host:port", address)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < minPort || n > 65535 {
		return fmt.Errorf("address %q: port must be a number from %d to 65535", address, minPort)
	}
	return nil
}

// Ready is the content of the ready file.
type Ready struct {
	HTTP string `json:"http"`
	Peer string `json:"peer"`
	PID  int    `json:"pid"`
}

// writeAtomically puts the content at path so that nobody reads half of it.
func writeAtomically(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
