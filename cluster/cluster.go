// Package cluster is what all ways of running nodes have in common: what a node is
// told when it is started, what is said of one that ended, and the files through which
// a node's clock and disk are troubled. The ways themselves are the packages below:
// local (processes of this machine), remote (hosts reached by commands) and its
// transports.
package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// ErrNotRunning says that a node has no process.
var ErrNotRunning = errors.New("not running")

// NodeSpec is what a node's command line is made of.
type NodeSpec struct {
	Name nemesis.Node
	// Program is where the system's program is on the node's host; "" where it was: on
	// this machine.
	Program string
	// DataDir is absolute, exists, and is the same after a restart. It must stand on the
	// command line: by it the node's process is known.
	DataDir string
	// Bind and PeerBind are the host:port for clients (TCP) and for peers (UDP);
	// port 0 means any.
	Bind, PeerBind string
	// Peers gives for each other node the host:port to which this node must send what
	// is meant for it.
	Peers map[nemesis.Node]string
	// ReadyFile is where the node reports its addresses once it serves, written
	// atomically: {"http":"host:port","peer":"host:port","pid":123}. It does not
	// exist when the node starts.
	ReadyFile string
	// Seed is the node's own, derived from the cluster's.
	Seed uint64
	// ClockFile is where a clock fault can be set, DiskFile trouble of the disk. Nobody
	// creates them at the start.
	ClockFile, DiskFile string
	// Tethered: the node is to end when its standard input does, so that it does not
	// outlive whoever started it.
	Tethered bool
	// Members are all nodes in the configured order, this one among them; nil where their
	// addresses are not known before they have started.
	Members []Member
	// Files is the directory with the system's files on the node's host; "" if there are
	// none.
	Files string
}

// Member is a node as others reach it: host:port for clients and for nodes.
type Member struct {
	Name         nemesis.Node
	Client, Peer string
}

// Exit tells of a node's process that ended without having been told to.
type Exit struct {
	Node nemesis.Node `json:"node"`
	PID  int          `json:"pid"`
	// Status is how it ended: "exit status 2", "signal: segmentation fault".
	Status string `json:"status"`
	// Log is the end of the node's log, LastWords the line of it that says most.
	Log       string `json:"log"`
	LastWords string `json:"last_words"`
}

// ProcessLog records the processes that a cluster starts, durably before each
// call returns, so that they can be found and ended after the harness itself was
// killed. *nemesis.Ledger is one.
type ProcessLog interface {
	// ProcessStarting is called before a process is started. Marker is a string
	// that will stand on its command line and on that of no other program.
	ProcessStarting(node nemesis.Node, marker string) error
	ProcessStarted(nemesis.ProcessRecord) error
	// ProcessEnded is called when the process is gone; with PID 0 when it never
	// came to be.
	ProcessEnded(nemesis.ProcessRecord) error
}

// StartLine begins the line that marks a new start of a node in its log.
const StartLine = "=== ordeal: start"

// StartHeader is that line for one start of a node by this command: one line, whatever is in
// the command.
func StartHeader(start int, node nemesis.Node, at time.Time, argv []string) string {
	command := strings.ReplaceAll(strings.Join(argv, " "), "\n", `\n`)
	return fmt.Sprintf(StartLine+" %d of %s at %s: %s", start, node,
		at.UTC().Format(time.RFC3339Nano), command)
}

// LastWords picks the line of a log's end that says most about why its node is
// gone: a panic's first line, else the last line. What it said before its last start is
// about something else.
func LastWords(log string) string {
	if i := strings.LastIndex(log, StartLine); i >= 0 {
		_, log, _ = strings.Cut(log[i:], "\n")
	}
	words := "it said nothing"
	for _, line := range strings.Split(log, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "fatal error:"):
			return line
		case line != "":
			words = line
		}
	}
	return words
}

// clockContent and diskContent are the files of docs/target-api.md.
type clockContent struct {
	Wall      bendContent `json:"wall"`
	Monotonic bendContent `json:"monotonic"`
}

type bendContent struct {
	Offset string   `json:"offset,omitempty"`
	Rate   *float64 `json:"rate,omitempty"`
	Freeze bool     `json:"freeze,omitempty"`
}

type diskContent struct {
	SyncDelay  string `json:"sync_delay,omitempty"`
	SyncErrors int    `json:"sync_errors,omitempty"`
	Full       bool   `json:"full,omitempty"`
	Torn       bool   `json:"torn,omitempty"`
}

func bend(b nemesis.Bend) bendContent {
	c := bendContent{Freeze: b.Freeze}
	if b.Offset != 0 {
		c.Offset = b.Offset.String()
	}
	if b.Rate != 0 {
		c.Rate = &b.Rate
	}
	return c
}

// ClockFile is the content of a node's clock file; nil: there shall be none.
func ClockFile(s nemesis.ClockSetting) ([]byte, error) {
	if s == (nemesis.ClockSetting{}) {
		return nil, nil
	}
	return line(clockContent{Wall: bend(s.Wall), Monotonic: bend(s.Monotonic)})
}

// DiskFile is the content of a node's disk file; nil: there shall be none.
func DiskFile(s nemesis.DiskSetting) ([]byte, error) {
	if s == (nemesis.DiskSetting{}) {
		return nil, nil
	}
	content := diskContent{SyncErrors: s.SyncErrors, Full: s.Full, Torn: s.Torn}
	if s.SyncDelay != 0 {
		content.SyncDelay = s.SyncDelay.Round(time.Microsecond).String()
	}
	return line(content)
}

// LeastLog is the size of a log that is worth damaging: what stands in its first half
// is then surely followed by more.
const LeastLog = 8 << 10

// Flip is written down, beside the node's data, before a bit is flipped.
type Flip struct {
	// Path is that of the log, below the node's data directory.
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	// Was and Is are the byte before and after.
	Was byte `json:"was"`
	Is  byte `json:"is"`
}

// NewFlip chooses the bit in a log of that size: place of the way from its beginning to
// its middle. It fails with nemesis.ErrLogTooSmall. Was and Is are for WithByte.
func NewFlip(path string, size int64, place float64) (Flip, error) {
	if size < LeastLog {
		return Flip{}, fmt.Errorf("%w: %d bytes", nemesis.ErrLogTooSmall, size)
	}
	return Flip{Path: path, Offset: int64(place * float64(size/2))}, nil
}

// WithByte returns the flip of a byte that was so.
func (f Flip) WithByte(was byte) Flip {
	f.Was, f.Is = was, was^1<<(f.Offset%8)
	return f
}

// String says where the bit is.
func (f Flip) String() string { return fmt.Sprintf("byte %d of %s", f.Offset, f.Path) }

// Line is the record as it is written down.
func (f Flip) Line() ([]byte, error) { return line(f) }

func line(content any) ([]byte, error) {
	data, err := json.Marshal(content)
	return append(data, '\n'), err
}
