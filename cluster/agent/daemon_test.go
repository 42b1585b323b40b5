package agent

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// idle is a daemon's service that does nothing.
type idle struct{}

func (idle) kind() string                   { return "idle" }
func (idle) run(ctx context.Context) error  { <-ctx.Done(); return nil }
func (idle) describe(*Status)               {}
func (idle) handle(request) (answer, error) { return answer{}, nil }

// The lease ends a daemon of which nobody wants to know any more, a question renews it.
func TestLease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	done := make(chan error, 1)
	up := make(chan struct{})
	begin := time.Now()
	asked := begin
	go func() {
		done <- serve(t.Context(), DaemonConfig{Dir: dir, Instance: "i", Lease: time.Second},
			func() (service, error) { return idle{}, nil }, func() error { close(up); return nil })
	}()
	<-up
	for time.Since(begin) < 1500*ms {
		asked = time.Now()
		if s, err := inspect(t.Context(), dir, "idle"); err != nil || s.State != Running {
			t.Fatalf("%+v, %v", s, err)
		}
		<-time.After(100 * ms)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, err := inspect(t.Context(), dir, "idle")
	if err != nil || s.State != Ended || s.Reason != reasonLease || s.Kind != "idle" {
		t.Errorf("%+v, %v", s, err)
	}
	if since := time.Since(asked); since < time.Second {
		t.Errorf("ended %v after it was asked, although it has a lease of 1 s", since)
	}
}

func TestDaemonConfigIsChecked(t *testing.T) {
	err := DaemonConfig{Dir: "relative", Lease: time.Millisecond}.Validate()
	for _, part := range []string{"relative", "no name", "lease 1ms"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}
