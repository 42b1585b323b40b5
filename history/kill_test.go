package history

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// childEnv tells the test binary to record into the file that it names, until it
// is killed.
const childEnv = "ORDEAL_HISTORY_RECORD_TO"

const killWorkers = 4

// TestRecordUntilKilled is the child of TestKill. It prints lines "time c0 c1 …":
// by that time worker i had recorded ci events.
func TestRecordUntilKilled(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("runs as the child of TestKill")
	}
	r, err := Create(path, Header{Test: "kill"})
	if err != nil {
		t.Fatal(err)
	}
	var counts [killWorkers]atomic.Int64
	var wg sync.WaitGroup
	for w := range killWorkers {
		wg.Go(func() {
			l := r.NewLog()
			pace := time.NewTicker(200 * time.Microsecond)
			for range pace.C {
				for range 5 {
					n := counts[w].Load()
					e := Event{Process: Process(w), F: "write", Value: Int(n)}
					if n%2 == 1 {
						e.Type = OK
					}
					l.Record(e)
					counts[w].Store(n + 1)
				}
			}
		})
	}
	report := time.NewTicker(time.Millisecond)
	for range report.C {
		line := ""
		for w := range counts {
			line += fmt.Sprintf(" %d", counts[w].Load())
		}
		if _, err := fmt.Printf("%d%s\n", r.Now(), line); err != nil {
			t.Fatal(err) // the parent is gone
		}
	}
}

// progress is a line that the child printed.
type progress struct {
	at     Time
	counts [killWorkers]int64
}

func parseProgress(line string) (p progress, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 1+killWorkers {
		return p, false
	}
	for i, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return p, false
		}
		if i == 0 {
			p.at = Time(n)
		} else {
			p.counts[i-1] = n
		}
	}
	return p, true
}

// recordAndKill lets a child record for some lines of progress and kills it.
func recordAndKill(t *testing.T, path string, lines int) []progress {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRecordUntilKilled$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []progress
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if p, ok := parseProgress(sc.Text()); ok {
			seen = append(seen, p)
		}
		if len(seen) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(seen) < lines {
		t.Fatalf("the child ended by itself after %d lines: %v", len(seen), err)
	}
	return seen
}

// TestKill kills a recording process at random moments. Its file must load, and
// hold every event that was 50 ms old. The child was alive when it printed its
// last line, so an event is at least as old as it was then.
func TestKill(t *testing.T) {
	// A busy machine may not run the merger for a while, and a busy disk hold up
	// its writes; the lag itself is tested on a fake clock.
	const old, slack = 50 * time.Millisecond, 300 * time.Millisecond
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	for round := range 3 {
		path := filepath.Join(t.TempDir(), FileName)
		seen := recordAndKill(t, path, 400+rnd.IntN(250))
		h, err := Load(path) // rejects times out of order
		if err != nil {
			t.Fatal(err)
		}
		var recorded [killWorkers]int64
		for i := range h.Ops {
			op := &h.Ops[i]
			if n, _ := op.In.AsInt(); n != recorded[op.Process] {
				t.Fatalf("worker %d: event %d comes after %d events", op.Process, n, recorded[op.Process])
			}
			if recorded[op.Process]++; op.Type == OK {
				recorded[op.Process]++
			}
		}
		last := seen[len(seen)-1].at
		checked := 0
		for _, p := range seen {
			if p.at > last-Time(old+slack) {
				break
			}
			checked++
			for w, n := range p.counts {
				if recorded[w] < n {
					t.Fatalf("worker %d had recorded %d events %v before the end, the file has %d",
						w, n, time.Duration(last-p.at), recorded[w])
				}
			}
		}
		if checked == 0 {
			t.Errorf("the child lived for %v only", time.Duration(last))
		}
		t.Logf("round %d: %d operations, torn %v, end %v before the last sign of life",
			round, len(h.Ops), h.Torn, time.Duration(last-h.End()))
	}
}
