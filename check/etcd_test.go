package check

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// The 102 histories of etcd that Kyle Kingsbury recorded in 2014 and that come with
// Porcupine: one cas register, values that repeat, operations without answer. There
// is no history 95. These are the linearizable ones, the other 79 are not.
var linearizableEtcd = []int{
	2, 5, 7, 18, 25, 31, 38, 45, 48, 49, 51, 53, 56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102,
}

// porcupineData returns the directory of Porcupine's test data in the module cache.
func porcupineData(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/anishathalye/porcupine").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "test_data")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("no source of Porcupine here: %v, %v", err, statErr)
	}
	return dir
}

var etcdLine = regexp.MustCompile(`^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$`)

// loadEtcd reads a log of Jepsen.
func loadEtcd(path string) (*history.History, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []history.Event
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		m := etcdLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue // the nemesis, a stack trace
		}
		p, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		e := history.Event{Process: history.Process(p), F: history.F(m[3])}
		var ok bool
		e.Type, ok = map[string]history.Type{
			"invoke": history.Invoke, "ok": history.OK, "fail": history.Fail,
			"info": history.Info,
		}[m[2]]
		if !ok {
			return nil, fmt.Errorf("%s: type %q", path, m[2])
		}
		if m[4] == ":timed-out" {
			e.Error = "timed-out"
		} else {
			text := strings.NewReplacer("nil", "null", " ", ",").Replace(m[4])
			if e.Value, err = history.ParseValue([]byte(text)); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", path, lines.Text(), err)
			}
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return history.New(events...)
}

func TestEtcd(t *testing.T) {
	dir := filepath.Join(porcupineData(t), "jepsen")
	c := Linearizable("cas-register", Options{Refusals: true})
	for i := range 103 {
		if i == 95 {
			continue
		}
		t.Run(fmt.Sprintf("%03d", i), func(t *testing.T) {
			h, err := loadEtcd(filepath.Join(dir, fmt.Sprintf("etcd_%03d.log", i)))
			if err != nil {
				t.Fatal(err)
			}
			want := Invalid
			if slices.Contains(linearizableEtcd, i) {
				want = Valid
			}
			r := c.Check(t.Context(), h)
			if r.Verdict != want {
				t.Fatalf("%s, want %s: %s", r.Verdict, want, r.Reason)
			}
			if want == Invalid && len(r.Counterexamples) != 1 {
				t.Errorf("%d counterexamples, want 1", len(r.Counterexamples))
			}
			for _, cx := range r.Counterexamples {
				t.Logf("%d of %d operations, minimal %t: %s", len(cx.Ops), len(h.Ops), cx.Minimal,
					cx.Why)
			}
		})
	}
}
