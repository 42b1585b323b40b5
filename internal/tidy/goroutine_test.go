package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// harness are the packages of which a panic must not end the checker with a status
// that is a verdict.
var harness = []string{
	"history/", "models/", "check/", "workload/", "nemesis/", "systems/", "cluster/", "reports/",
	"run/", "soak/", "cmd/checker/",
}

// TestGoroutines: the harness starts every goroutine by internal/crash.
func TestGoroutines(t *testing.T) {
	eachAST(t, func(t *testing.T, path string, set *token.FileSet, f *ast.File) {
		ours := func(p string) bool { return strings.HasPrefix(path, p) }
		if strings.HasSuffix(path, "_test.go") || !slices.ContainsFunc(harness, ours) {
			return
		}
		for _, n := range bareGoroutines(f) {
			t.Errorf("%s: a goroutine whose panic nobody catches: use crash.Go or crash.Guard",
				set.Position(n.Pos()))
		}
	})
}

// bareGoroutines returns the go statements, and the functions handed to somebody who
// starts a goroutine, that are not guarded.
func bareGoroutines(f *ast.File) (found []ast.Node) {
	ast.Inspect(f, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			found = append(found, g)
		}
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if isCall(call.Fun, "", "Go") && !isCall(call.Fun, "crash", "Go") ||
			isCall(call.Fun, "", "AfterFunc") {
			last, ok := call.Args[len(call.Args)-1].(*ast.CallExpr)
			if !ok || !isCall(last.Fun, "crash", "Guard") {
				found = append(found, call)
			}
		}
		return true
	})
	return found
}

// isCall reports whether an expression is x.name; an empty x is any.
func isCall(e ast.Expr, x, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return x == "" || ok && id.Name == x
}

func TestGoroutinesAreFound(t *testing.T) {
	const src = `package p
func f() {
	crash.Go(f)
	wg.Go(crash.Guard(f))
	time.AfterFunc(d, crash.Guard(func() {}))
	context.AfterFunc(ctx, crash.Guard(f))()
	go f()
	go func() {}()
	wg.Go(f)
	r.helpers.Go(func() {})
	time.AfterFunc(d, f)
	context.AfterFunc(ctx, func() {})()
}`
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, n := range bareGoroutines(f) {
		lines = append(lines, set.Position(n.Pos()).Line)
	}
	if want := []int{7, 8, 9, 10, 11, 12}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}
