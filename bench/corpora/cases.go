package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/run"
)

// testCase is one history, one judge and what the judge has to say.
type testCase struct {
	folder, name string
	path         string // of a file, or empty if it is
	ops          []byte // a JSON list
	file         run.File
	want         check.Verdict
	// told is true when only Elle said so, not brute force.
	told bool
	// moments is true when there were completions only.
	moments bool
}

// judge names what judges a case.
func (c *testCase) judge() string {
	if c.file.Isolation != "" {
		return c.file.Checker + " " + c.file.Isolation
	}
	return cmp.Or(c.file.Model, c.file.Checker)
}

func (c *testCase) run(ctx context.Context) (check.Result, error) {
	c.file.Limits = run.CheckLimits{Time: time.Minute, Memory: 2 << 30}
	if c.path != "" {
		return run.CheckFile(ctx, c.path, c.file)
	}
	return run.CheckReader(ctx, bytes.NewReader(c.ops), c.name, c.file)
}

func verdictOf(valid bool) check.Verdict {
	if valid {
		return check.Valid
	}
	return check.Invalid
}

// find looks for verdicts below dir.
func find(dir string) ([]testCase, error) {
	var cases []testCase
	listed := make(map[string]bool) // directories whose files have verdicts already
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("look for histories: %w", err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("look for histories: %w", err)
		}
		folder := filepath.Dir(rel)
		var more []testCase
		switch name := d.Name(); {
		case d.IsDir():
			return nil
		case name == "VERDICTS.tsv":
			more, err = fromTSV(path, folder)
		case name == "expected.json":
			more, err = fromExpected(path, folder)
			listed[folder] = true
		case strings.HasSuffix(name, ".jsonl.gz"):
			more, err = fromLines(path, rel)
		case underListed(listed, folder):
			return nil
		default:
			more = fromFolder(path, rel)
		}
		cases = append(cases, more...)
		return err
	})
	return cases, err
}

func underListed(listed map[string]bool, folder string) bool {
	for ; folder != "." && folder != "/"; folder = filepath.Dir(folder) {
		if listed[folder] {
			return true
		}
	}
	return false
}

// fromTSV reads "name<TAB>verdict" lines. Logs are of etcd's register, whose failed
// compare is an answer, other files of strings.
func fromTSV(path, folder string) ([]testCase, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read verdicts: %w", err)
	}
	var cases []testCase
	for line := range strings.Lines(string(b)) {
		name, verdict, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			return nil, fmt.Errorf("%s: %q: want a name and a verdict", path, line)
		}
		c := testCase{folder: folder, name: filepath.Join(folder, name),
			path: filepath.Join(filepath.Dir(path), name), want: verdictOf(verdict == "linearizable")}
		if c.file.Model = "text"; strings.HasSuffix(name, ".log") {
			c.file.Model, c.file.Refusals = "cas-register", true
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// fileFor says how a history of elle-cli's models is judged.
func fileFor(model, level string) (run.File, error) {
	switch model {
	case "register", "cas-register", "mutex", "multi-register":
		return run.File{Model: model, NilUnknown: true}, nil
	case "list-append", "rw-register":
		return run.File{Checker: model, Isolation: cmp.Or(level, "strict-serializable")}, nil
	case "counter", "set", "bank", "long-fork", "comments":
		return run.File{Checker: model}, nil
	case "set-full":
		return run.File{Checker: model, Plain: true}, nil
	default:
		return run.File{}, fmt.Errorf("model %q", model)
	}
}

// fromExpected reads the cases of elle-cli's tests.
func fromExpected(path, folder string) ([]testCase, error) {
	var list []struct {
		File, Model string
		Options     map[string]string
		Expected    struct{ Valid bool }
		Present     bool
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read verdicts %s: %w", path, err)
	}
	var cases []testCase
	for _, l := range list {
		if !l.Present {
			continue
		}
		file, err := fileFor(l.Model, l.Options["consistency-models"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		cases = append(cases, testCase{folder: folder, name: filepath.Join(folder, l.File),
			path: filepath.Join(filepath.Dir(path), l.File), file: file,
			want: verdictOf(l.Expected.Valid)})
	}
	return cases, nil
}

// line is one history of a .jsonl.gz.
type line struct {
	Name, Workload, Model string
	Ops                   json.RawMessage
	Expected              said
	ByModel               map[string]said `json:"expected_by_model"`
	Opts                  map[string]any
	Truth                 *struct {
		Serializable bool
		Strict       bool `json:"strict_serializable"`
	}
}

// said is what a tool said. Valid is a boolean, or a text if it did not know.
type said struct{ Valid any }

// fromLines reads histories that have what Knossos said of them, or what Elle said at
// each of its levels, and perhaps what is true.
func fromLines(path, folder string) (cases []testCase, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read histories: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read histories %s: %w", path, err)
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("read histories %s: %w", path, err)
		}
		more, err := l.cases(folder)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, l.Name, err)
		}
		cases = append(cases, more...)
	}
	return cases, in.Err()
}

func (l *line) cases(folder string) ([]testCase, error) {
	ops, moments, err := invoked(l.Ops)
	if err != nil {
		return nil, err
	}
	one := func(level string, valid bool) (testCase, error) {
		file, err := fileFor(cmp.Or(l.Workload, l.Model), level)
		return testCase{folder: folder, name: filepath.Join(folder, l.Name), ops: ops,
			file: file, want: verdictOf(valid), moments: moments}, err
	}
	if l.Workload == "" {
		valid, known := l.Expected.Valid.(bool)
		if !known {
			return nil, nil
		}
		c, err := one("", valid)
		return []testCase{c}, err
	}
	if l.Opts["transaction-order"] != nil {
		return nil, nil // Elle was told the order of the versions
	}
	var cases []testCase
	for _, level := range levels() {
		valid, known := l.truth(level.ours)
		keys, told := "", !known
		if told { // what Elle said, knowing what it was told of keys
			keys = l.keys()
			valid, known = l.ByModel[level.elle].Valid.(bool)
		}
		if !known {
			continue
		}
		c, err := one(level.ours, valid)
		if err != nil {
			return nil, err
		}
		c.file.KeyOrder, c.told = keys, told
		cases = append(cases, c)
	}
	return cases, nil
}

// invoked makes a moment of each completion of a history that has nothing else: what is
// judged by the order of time cannot be compared then, moments says so.
func invoked(list json.RawMessage) (all json.RawMessage, moments bool, err error) {
	var ops []map[string]json.RawMessage
	if err := json.Unmarshal(list, &ops); err != nil {
		return nil, false, fmt.Errorf("operations: %w", err)
	}
	const invoke = `"invoke"`
	if len(ops) == 0 || slices.ContainsFunc(ops, func(op map[string]json.RawMessage) bool {
		return string(op["type"]) == invoke
	}) {
		return list, false, nil
	}
	var both []map[string]json.RawMessage
	for _, op := range ops {
		delete(op, "index")
		call := maps.Clone(op)
		call["type"] = json.RawMessage(invoke)
		both = append(both, call, op)
	}
	all, err = json.Marshal(both)
	return all, true, err
}

// keys is what Elle was told of the order of versions.
func (l *line) keys() string {
	switch {
	case l.Opts["linearizable-keys?"] == true:
		return "linearizable"
	case l.Opts["sequential-keys?"] == true:
		return "sequential"
	default:
		return ""
	}
}

// truth is what is true of a level, as far as brute force knows. What is serializable
// keeps all levels that ask for no order of sessions or time; what is strictly so keeps
// all. Where there are no predicates, repeatable read is serializable.
func (l *line) truth(level string) (valid, known bool) {
	if l.Truth == nil {
		return false, false
	}
	ordered := strings.HasPrefix(level, "str")
	switch {
	case l.Truth.Strict, l.Truth.Serializable && !ordered:
		return true, true
	case level == "strict-serializable", level == "serializable", level == "repeatable-read":
		return false, true
	default:
		return false, false
	}
}

// level is one of Elle's and what we call it.
type level struct{ elle, ours string }

// levels are those that both know.
func levels() []level {
	same := []string{"strict-serializable", "strong-session-serializable", "serializable",
		"repeatable-read", "strong-snapshot-isolation", "strong-session-snapshot-isolation",
		"snapshot-isolation", "read-atomic", "monotonic-atomic-view", "read-committed",
		"read-uncommitted"}
	list := []level{{"consistent-view", "causal"}}
	for _, name := range same {
		list = append(list, level{name, name})
	}
	return list
}

// fromFolder takes the verdict from the names of directories.
func fromFolder(path, rel string) []testCase {
	parts := strings.Split(filepath.ToSlash(rel), "/")
	base := parts[len(parts)-1]
	if strings.HasPrefix(base, "README") || len(parts) < 2 {
		return nil
	}
	c := testCase{folder: filepath.Dir(rel), name: rel, path: path}
	for i, part := range parts[:len(parts)-1] {
		switch part {
		case "good", "bad":
			file, err := fileFor(parts[max(0, i-1)], "")
			if err != nil {
				return nil
			}
			c.file, c.want = file, verdictOf(part == "good")
			return []testCase{c}
		}
		if at := slices.Index(weakLevels(), part); at >= 0 {
			return c.keeps(at)
		}
	}
	return nil
}

// weakLevels are the names of folders of AWDIT's, the stronger ones first.
func weakLevels() []string { return []string{"causal", "read-atomic", "read-committed", "none"} }

// keeps makes a case of each level: those from the one at this place on hold.
func (c testCase) keeps(at int) []testCase {
	var cases []testCase
	for i, level := range weakLevels()[:3] {
		next := c
		next.file = run.File{Checker: "session-levels", Isolation: level}
		next.want = verdictOf(i >= at)
		cases = append(cases, next)
	}
	return cases
}
