package posix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
)

// ErrOutput says that a command wrote more than it may.
var ErrOutput = fmt.Errorf("more than %d MiB of output", remote.MaxOutput>>20)

// Await reads the standard error up to the leash's name and reports whether that has
// come. What came before is left in said if not: sudo's complaint, for instance.
func (l Leash) Await(from io.Reader, said *bytes.Buffer) bool {
	var (
		line = []byte(l.Name() + "\n")
		one  [1]byte
	)
	for !bytes.HasSuffix(said.Bytes(), line) {
		if said.Len() > remote.MaxOutput {
			return false
		}
		if _, err := io.ReadFull(from, one[:]); err != nil {
			return false
		}
		said.WriteByte(one[0])
	}
	said.Reset()
	return true
}

// Telling returns a shell's command line that runs the command on the leash and then
// writes the leash's name and the status to the standard error, for transports whose own
// word for the status is not to be trusted. Status takes it off again.
func (l Leash) Telling(as, command []string) string {
	// The shell's own words about a killed child are nobody's. In a subshell, because dash
	// does the redirection of a plain command to itself.
	return fmt.Sprintf(`exec 3>&2 2>/dev/null; (exec %s) 2>&3 3>&-; echo "%s $?" >&3`,
		remote.CommandLine(l.Argv(as, command)), l.Name())
}

// Status returns the status that Telling has written to the standard error, and that
// without it. It reports false when there is none.
func (l Leash) Status(stderr []byte) (status int, rest []byte, ok bool) {
	i := bytes.LastIndex(stderr, []byte(l.Name()+" "))
	if i < 0 {
		return 0, stderr, false
	}
	digits, after, ended := strings.Cut(string(stderr[i+len(l.Name())+1:]), "\n")
	status, err := strconv.Atoi(digits)
	if err != nil || !ended {
		return 0, stderr, false
	}
	return status, append(slices.Clone(stderr[:i]), after...), true
}

// Take copies a stream to its end, up to a number of bytes. What is too much is
// ErrOutput, and is not waited for.
func Take(to io.Writer, from io.Reader, most int64) error {
	n, err := io.Copy(to, io.LimitReader(from, most))
	if err != nil || n < most {
		return err
	}
	var one [1]byte
	if _, err := io.ReadFull(from, one[:]); errors.Is(err, io.EOF) {
		return nil
	}
	return ErrOutput
}

// Gate lets what a command writes through to its caller until it is shut: a call that
// has returned does not write any more.
type Gate struct {
	mu   sync.Mutex
	to   io.Writer
	over bool
}

// NewGate returns an open gate to w.
func NewGate(w io.Writer) *Gate { return &Gate{to: w} }

// Write implements io.Writer.
func (g *Gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return 0, io.ErrClosedPipe
	}
	return g.to.Write(b)
}

// Shut shuts the gate; a write that is under way is waited for.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// Loose are the leashes of one node whose commands may still run, because nobody has
// seen their end. The zero value has none.
type Loose struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// looseSlack is how much longer than its limit a command is still feared.
const looseSlack = 2 * time.Second

// Add notes a leash.
func (o *Loose) Add(l Leash) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.until == nil {
		o.until = make(map[string]time.Time)
	}
	o.until[l.ID] = time.Now().Add(l.Limit + looseSlack)
}

// IDs returns those whose limit on the node is not over, in order.
func (o *Loose) IDs() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.until, func(_ string, end time.Time) bool { return time.Now().After(end) })
	return slices.Sorted(maps.Keys(o.until))
}

// Killed forgets those that were killed.
func (o *Loose) Killed(ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.until, id)
	}
}
