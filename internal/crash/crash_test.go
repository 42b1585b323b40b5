package crash

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestPanic runs this test in a process of its own for each case, because a panic
// ends it.
func TestPanic(t *testing.T) {
	if name := os.Getenv("CRASH"); name != "" {
		crashes(name)
		return
	}
	for _, c := range []struct {
		name   string
		status int
		says   []string
		silent string
	}{
		{"handled", 77, []string{"second, first, panic: boom", "crash.boom"}, "[recovered"},
		{"many at once", 77, []string{"first, panic: boom"}, "[recovered"},
		{"bad before", 77, []string{"first, panic: boom"}, "worse"},
		{"removed", 77, []string{"first, panic: boom"}, "second"},
		{"unhandled", 2, []string{"panic: boom", "crash.boom"}, "first"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanic$")
		cmd.Env = append(os.Environ(), "CRASH="+c.name)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.status {
			t.Errorf("%s: %v, want status %d\n%s", c.name, err, c.status, out)
		}
		for _, want := range c.says {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: %q is missing in\n%s", c.name, want, out)
			}
		}
		if n := strings.Count(string(out), "first, "); c.status == 77 && n != 1 {
			t.Errorf("%s: handled %d times\n%s", c.name, n, out)
		}
		if strings.Contains(string(out), c.silent) {
			t.Errorf("%s: it says %q\n%s", c.name, c.silent, out)
		}
	}
}

func boom() { panic("boom") }

// crashes does what a case is about; it does not return.
func crashes(name string) {
	if name != "unhandled" {
		Handle(func(p Panic) {
			os.Stderr.WriteString(p.Error() + "\n" + p.Stack)
			os.Exit(77)
		})
	}
	says := func(s string) func(Panic) {
		return func(Panic) { os.Stderr.WriteString(s + ", ") }
	}
	Before(says("first"))
	switch name {
	case "handled":
		Before(says("second"))
	case "removed":
		Before(says("second"))()
	case "bad before":
		Before(func(Panic) { panic("worse") })
	}
	var wg sync.WaitGroup
	if name == "many at once" {
		for range 8 {
			Go(boom)
		}
		select {}
	}
	wg.Go(Guard(boom))
	wg.Wait()
	select {}
}

// TestNoPanic: nothing happens to those that end as they should.
func TestNoPanic(t *testing.T) {
	done := make(chan int, 2)
	Go(func() { done <- 1 })
	Guard(func() { done <- 2 })()
	if a, b := <-done, <-done; a+b != 3 {
		t.Error(a, b)
	}
}
