// Package arch holds the test of the import arrows: a package imports only what
// lies below it, and the harness and the reference system never import each
// other.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ordeal-dev/ordeal/"

// shore tells the two islands apart.
type shore string

const (
	harness shore = "harness"
	system  shore = "reference system"
	tooling shore = "tooling"
)

// place is where a package stands.
type place struct {
	shore shore
	layer int
}

// layers is the whole map. A prefix that ends with a slash covers a tree.
var layers = []struct {
	prefix string
	place  place
}{
	{"history", place{harness, 0}},
	{"models", place{harness, 10}},
	{"check/graph", place{harness, 12}},
	{"check/weak", place{harness, 12}},
	{"check/rw", place{harness, 13}},
	{"check", place{harness, 20}},
	{"check/", place{harness, 15}}, // engines: they know no history file and no report
	{"workload", place{harness, 30}},
	{"nemesis", place{harness, 30}},
	{"systems", place{harness, 40}},
	{"systems/operation", place{harness, 32}},
	{"systems/expand", place{harness, 32}},
	{"systems/native", place{harness, 32}},
	{"systems/sqlclient", place{harness, 33}},
	{"systems/declare", place{harness, 36}},
	{"systems/native/nativetest", place{harness, 38}},
	{"systems/", place{harness, 34}}, // ways to talk to a system
	{"cluster/", place{harness, 40}},
	{"reports/web", place{tooling, 0}}, // a script for browsers
	{"reports", place{harness, 40}},
	{"reports/live", place{harness, 42}},
	{"reports/store", place{harness, 43}},
	{"reports/", place{harness, 45}}, // export, serve: they know no run
	{"run", place{harness, 50}},
	{"run/", place{harness, 60}},
	{"soak", place{harness, 60}},
	{"recall", place{harness, 60}},
	{"cmd/checker", place{harness, 70}},
	{"target/bug", place{system, 0}},
	{"target/protocol", place{system, 10}},
	{"target/wal", place{system, 10}},
	{"target/kv", place{system, 20}},
	{"target/lease", place{system, 20}},
	{"target/mesh", place{system, 20}},
	{"target/quorum", place{system, 30}},
	{"target/appendlog", place{system, 30}},
	{"target/decide", place{system, 30}},
	{"target/paxos", place{system, 30}},
	{"target/versions", place{system, 30}},
	{"target/mvcc", place{system, 40}},
	{"target/dmvcc", place{system, 40}},
	{"target/txntest", place{system, 30}},
	{"target/lock", place{system, 40}},
	{"target/primary", place{system, 30}},
	{"target/commit", place{system, 40}},
	{"target/cache", place{system, 40}},
	{"target/wire", place{system, 20}},
	{"target/server", place{system, 40}},
	{"target/catalog", place{system, 50}},
	{"target/world", place{system, 55}},
	{"target/sim", place{system, 20}},
	{"target/script", place{system, 20}},
	{"target/simtest", place{system, 25}},
	{"cmd/target", place{system, 60}},
	{"bench/", place{harness, 80}},
	{"internal/vtime", place{tooling, 1}}, // on internal/timers
	{"internal/", place{tooling, 0}},
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportArrows(t *testing.T) {
	for _, p := range list(t) {
		from, ok := find(p.ImportPath)
		if !ok {
			t.Errorf("%s: stands in no layer: add it to the map", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			checkArrow(t, p.ImportPath, imp, from)
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, ok := find(imp); ok && crossesShore(from, to) {
				t.Errorf("%s: its tests import %s: across the shore", p.ImportPath, imp)
			}
		}
	}
}

func TestOnlyCheckAndModelsKnowPorcupine(t *testing.T) {
	allowed := []string{module + "check", module + "models"}
	for _, p := range list(t) {
		if slices.Contains(p.Imports, "github.com/anishathalye/porcupine") &&
			!slices.Contains(allowed, p.ImportPath) {
			t.Errorf("%s: imports porcupine: only check and models may", p.ImportPath)
		}
	}
}

// bridge is the one arrow across the shore: a cluster whose nodes are in this process.
var bridge = [2]string{module + "cluster/sim", module + "target/world"}

func checkArrow(t *testing.T, from, to string, fp place) {
	t.Helper()
	if !strings.HasPrefix(to, module) || [2]string{from, to} == bridge {
		return
	}
	tp, ok := find(to)
	switch {
	case !ok:
		t.Errorf("%s: imports %s, which stands in no layer", from, to)
	case crossesShore(fp, tp):
		t.Errorf("%s: imports %s: across the shore", from, to)
	case fp.shore == tp.shore && tp.layer >= fp.layer && !sameTree(from, to):
		t.Errorf("%s (layer %d): imports %s (layer %d): an import points downwards only",
			from, fp.layer, to, tp.layer)
	}
}

func crossesShore(a, b place) bool {
	return a.shore != tooling && b.shore != tooling && a.shore != b.shore
}

// sameTree reports whether both packages belong to one tree, such as cluster/.
func sameTree(a, b string) bool {
	first := func(s string) string {
		top, _, _ := strings.Cut(strings.TrimPrefix(s, module), "/")
		return top
	}
	return first(a) == first(b) && first(a) == "cluster"
}

func find(path string) (place, bool) {
	name, ok := strings.CutPrefix(path, module)
	if !ok {
		return place{}, false
	}
	for _, l := range layers {
		if name == l.prefix || strings.HasSuffix(l.prefix, "/") &&
			strings.HasPrefix(name+"/", l.prefix) {
			return l.place, true
		}
	}
	return place{}, false
}

// list asks the go command for all packages. The test's cache does not know what
// another program reads, so the tree is walked here, too: a changed or new file
// runs the test again.
func list(t *testing.T) []pkg {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "store") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}
