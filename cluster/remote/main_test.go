package remote_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/agent"
)

// update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain lets the test's own binary be the program of a node, and of its agent.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "fake-node" {
		if err := fakeNode(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "fake node:", err)
			os.Exit(7)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		cmd := agent.Command(os.Stdin, os.Stdout)
		cmd.SetArgs(os.Args[2:])
		if err := cmd.ExecuteContext(ctx); err != nil {
			os.Exit(255)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeNode serves clients (HTTP) and hears peers (UDP), until it is told to end. It
// refuses to start, or ends, when a file of that name is in its data directory.
func fakeNode(args []string) error {
	fs := flag.NewFlagSet("fake-node", flag.ContinueOnError)
	data, ready := fs.String("data", "", ""), fs.String("ready", "", "")
	bind, peer := fs.String("bind", "", ""), fs.String("peer", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(*data, "refuse")); err == nil {
		return fmt.Errorf("something is wrong with my disk")
	}
	l, err := net.Listen("tcp", *bind)
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", *peer)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	text, err := json.Marshal(map[string]string{
		"http": l.Addr().String(), "peer": p.LocalAddr().String(),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(*ready+".new", text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(*ready+".new", *ready); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "fake node serves")
	served := make(chan error, 1)
	go func() {
		served <- http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/die" {
				fmt.Fprintln(os.Stderr, "panic: I was told to")
				os.Exit(3)
			}
		}))
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	select {
	case err := <-served:
		return err
	case <-term:
		return nil
	}
}
