package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/internal/crash"
	site "github.com/ordeal-dev/ordeal/reports/serve"
	"github.com/ordeal-dev/ordeal/run"
)

const (
	serveHelp = `Serve shows a store of runs in a browser: a list to be filtered and sorted, trends,
each run with its report and files, runs while they go (also those of other
processes: their directories are followed), and two runs side by side. The same
as JSON is under /api/v1: docs/WEB.md.

It only reads, and knows no users: whoever reaches it sees everything in the
store. So it binds to this machine alone unless --bind says otherwise, and answers
only to addresses, to localhost, and to the names of --host, because any page in a
browser can make a name of its own point here.`
	serveExamples = `  checker serve
  checker serve --store nightly --bind 127.0.0.1:9000
  checker serve --bind 0.0.0.0:8080 --host ci.example.org
  curl -s 'http://127.0.0.1:8080/api/v1/runs?verdict=invalid&limit=5' | jq .runs[].id`
)

// What a slow or a vanished browser may hold.
const (
	headerTime  = 10 * time.Second
	idleTime    = time.Minute
	farewell    = 5 * time.Second
	headersMost = 64 << 10
)

func newServe(stop interrupts, std streams) *cobra.Command {
	var (
		dir, bind string
		hosts     []string
		verbose   bool
	)
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Show all runs, and those that go on, in a browser and as JSON",
		Long:    serveHelp,
		Example: serveExamples,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			pages, err := site.New(site.Config{
				Store: dir, Now: time.Now, Hosts: hosts, Logger: logger(std.err, verbose),
			})
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w; a test makes one: checker test --store %s", err, dir)
			}
			if err != nil {
				return usage(err)
			}
			return serve(stop.gentle, std, bind, pages)
		},
	}
	cmd.Flags().StringVar(&dir, "store", run.Default().Store, "directory of all runs")
	cmd.Flags().StringVar(&bind, "bind", "127.0.0.1:8080", "address and port to listen at; port 0 "+
		"is any free one")
	cmd.Flags().StringSliceVar(&hosts, "host", nil,
		"names by which browsers may ask, beside localhost and addresses")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what goes wrong with requests")
	return cmd
}

// serve answers until ctx ends.
func serve(ctx context.Context, std streams, bind string, pages http.Handler) error {
	l, err := listen(std, bind)
	if err != nil {
		return err
	}
	return serveAt(ctx, l, pages)
}

// listen says where it listens.
func listen(std streams, bind string) (net.Listener, error) {
	l, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, usage(fmt.Errorf("serve: %w", err))
	}
	fmt.Fprintf(std.out, "http://%s\n", l.Addr())
	if addr, err := netip.ParseAddrPort(l.Addr().String()); err == nil && !addr.Addr().IsLoopback() {
		fmt.Fprintln(std.err, "checker: whoever reaches this address can read what is served there")
	}
	return l, nil
}

func serveAt(ctx context.Context, l net.Listener, pages http.Handler) error {
	server := &http.Server{
		Handler: pages, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headersMost,
		// Watching a run ends with the server, not after it.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	crash.Go(func() { done <- server.Serve(l) })
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		return server.Close()
	}
	return nil
}
