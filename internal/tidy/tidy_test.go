// Package tidy holds the test of what can be counted in the style: the length of
// lines and functions, package comments, and calls that have no place here.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	lineColumnsMax   = 100
	functionLinesMax = 70
	root             = "../.."
)

// ban is a call that must not be made outside some places.
type ban struct {
	pkg, name string
	// allowed are path prefixes where the call has its place.
	allowed []string
	// tests says whether test files may call it.
	tests bool
	use   string
}

// clocks are the packages that talk to real time: they run real processes.
var clocks = []string{"run/", "cmd/", "cluster/", "target/server/", "bench/", "history/recorder.go"}

var bans = []ban{
	{"time", "Now", append([]string{"history/clock.go"}, clocks...), true, "the package's clock seam"},
	{"time", "Sleep", nil, false, "a timer with a context, or a condition that is awaited"},
	{"os", "Exit", []string{"cmd/checker/main.go", "cmd/target/main.go", "bench/"}, true, "an error"},
	{"log", "Fatal", nil, false, "an error"},
	{"log", "Fatalf", nil, false, "an error"},
	{"log", "Printf", nil, false, "log/slog, handed in"},
	{"log", "Println", nil, false, "log/slog, handed in"},
	{"slog", "SetDefault", nil, false, "a logger that is handed in"},
}

func TestLines(t *testing.T) {
	eachFile(t, func(t *testing.T, path string, src []byte) {
		for i, line := range strings.Split(string(src), "\n") {
			if n := utf8.RuneCountInString(line); n > lineColumnsMax {
				t.Errorf("%s:%d: %d columns, at most %d", path, i+1, n, lineColumnsMax)
			}
			for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
				if strings.Contains(line, word) {
					t.Errorf("%s:%d: %s: finish it or write it into an issue", path, i+1, word)
				}
			}
		}
	})
}

func TestFunctions(t *testing.T) {
	eachAST(t, func(t *testing.T, path string, set *token.FileSet, f *ast.File) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1
			if n > functionLinesMax {
				t.Errorf("%s: %s has %d lines, at most %d",
					set.Position(fn.Pos()), fn.Name.Name, n, functionLinesMax)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: init(): make it a table or a constructor", set.Position(fn.Pos()))
			}
		}
	})
}

func TestBannedCalls(t *testing.T) {
	eachAST(t, func(t *testing.T, path string, set *token.FileSet, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := call.X.(*ast.Ident)
			if !ok || x.Obj != nil {
				return true
			}
			if strings.HasPrefix(importOf(f, x.Name), "math/rand") && isGlobalRand(call.Sel.Name) {
				t.Errorf("%s: %s.%s draws from the global source: use a seeded one",
					set.Position(call.Pos()), x.Name, call.Sel.Name)
			}
			for _, b := range bans {
				if x.Name == b.pkg && call.Sel.Name == b.name && !allowed(b, path) {
					t.Errorf("%s: %s.%s: use %s", set.Position(call.Pos()), b.pkg, b.name, b.use)
				}
			}
			return true
		})
	})
}

func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	eachAST(t, func(t *testing.T, path string, set *token.FileSet, f *ast.File) {
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || f.Doc != nil && len(f.Doc.Text()) > 20
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment that explains the idea", dir)
		}
	}
}

func allowed(b ban, path string) bool {
	if b.tests && strings.HasSuffix(path, "_test.go") {
		return true
	}
	for _, p := range b.allowed {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// isGlobalRand reports whether a function of math/rand uses the global source.
func isGlobalRand(name string) bool {
	switch name {
	case "New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG",
		"ChaCha8", "Zipf":
		return false
	}
	return true
}

func importOf(f *ast.File, name string) string {
	for _, imp := range f.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			continue
		}
		base := filepath.Base(path)
		if base == "v2" {
			base = filepath.Base(filepath.Dir(path))
		}
		if imp.Name != nil && imp.Name.Name == name || imp.Name == nil && base == name {
			return path
		}
	}
	return ""
}

func eachAST(t *testing.T, check func(*testing.T, string, *token.FileSet, *ast.File)) {
	t.Helper()
	eachFile(t, func(t *testing.T, path string, src []byte) {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		check(t, path, set, f)
	})
}

func eachFile(t *testing.T, check func(t *testing.T, path string, src []byte)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "store") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		check(t, filepath.ToSlash(rel), src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d Go files found under %s: the walk is broken", files, root)
	}
}
