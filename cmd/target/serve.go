package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-sockaddr/template"
	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/catalog"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/server"
)

// serveFlags are the flags of target serve, as they were given.
type serveFlags struct {
	protocol, id, peers, data, bind, peerBind string
	readyFile, bug, clock, disk, clusterID    string
	volatile, exitOnStdinClose, verbose       bool
	seed                                      uint64
	requestTimeout                            time.Duration
}

func newServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run one node",
		Example: `  target serve --protocol paxos --id n1 --data /var/lib/target \
    --peers n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001 \
    --bind '{{ GetPrivateIP }}:7000' --peer-bind '{{ GetPrivateIP }}:7001'`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, f) },
	}
	f.register(cmd)
	return cmd
}

func (f *serveFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.protocol, "protocol", "", "what to run; an unknown name lists all")
	s.StringVar(&f.id, "id", "", "name of this node")
	s.StringVar(&f.peers, "peers", "",
		"all nodes and where this one sends to each: n1=host:port,n2=host:port,…")
	s.StringVar(&f.data, "data", "", "directory for the node's data")
	s.StringVar(&f.bind, "bind", "127.0.0.1:0", "address for clients; may be a template, "+
		"as '{{ GetPrivateIP }}:7000'")
	s.StringVar(&f.peerBind, "peer-bind", "127.0.0.1:0", "address for peers, as --bind")
	s.StringVar(&f.readyFile, "ready-file", "", "where to write the addresses when serving")
	s.StringVar(&f.bug, "bug", "", "bug to plant; target bugs lists them")
	s.StringVar(&f.clock, "clock", "", "file that bends the node's clock while it runs")
	s.StringVar(&f.disk, "disk", "", "file that troubles the node's disk while it runs")
	s.StringVar(&f.clusterID, "cluster-id", "default", "name of the cluster; other "+
		"clusters' messages are dropped")
	s.BoolVar(&f.volatile, "volatile", false, "keep unsynced bytes in memory, so that "+
		"SIGKILL loses them as a power cut would")
	s.BoolVar(&f.exitOnStdinClose, "exit-on-stdin-close", false,
		"stop when standard input ends")
	s.BoolVar(&f.verbose, "verbose", false, "log more")
	s.Uint64Var(&f.seed, "seed", 0, "decides the node's random choices")
	s.DurationVar(&f.requestTimeout, "request-timeout", time.Second,
		"how long a request may stay unanswered")
}

func serve(cmd *cobra.Command, f serveFlags) error {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	cfg, err := f.config(log.With("node", f.id))
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.exitOnStdinClose {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			io.Copy(io.Discard, cmd.InOrStdin()) // an error ends it as well as the end
			cancel()
		}()
	}
	node, err := server.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return node.Serve(ctx)
}

// config translates the flags, and reports all that is wrong with them at once.
func (f *serveFlags) config(log *slog.Logger) (server.Config, error) {
	cfg := server.Config{
		Protocol: f.protocol,
		Salvages: catalog.Salvages(f.protocol), Rejoins: catalog.Rejoins(f.protocol),
		ID: protocol.NodeID(f.id), DataDir: f.data,
		ReadyFile: f.readyFile, ClockFile: f.clock, DiskFile: f.disk, Volatile: f.volatile,
		Seed: f.seed, ClusterID: f.clusterID, RequestTimeout: f.requestTimeout,
		Version: version(), Log: log,
	}
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	var err error
	if cfg.New, err = catalog.Lookup(f.protocol); err == nil {
		// Which bugs fit can only be said of a protocol that exists.
		cfg.Bugs, err = bug.Parse(f.bug, f.protocol)
	}
	note(err)
	cfg.Peers, err = parsePeers(f.peers)
	note(err)
	cfg.Bind, err = expand("bind", f.bind)
	note(err)
	cfg.PeerBind, err = expand("peer-bind", f.peerBind)
	note(err)
	note(cfg.Validate())
	return cfg, errors.Join(problems...)
}

func parsePeers(s string) (map[protocol.NodeID]string, error) {
	peers := map[protocol.NodeID]string{}
	if s == "" {
		return nil, errors.New("peers: none given; want n1=host:port,n2=host:port,…")
	}
	for entry := range strings.SplitSeq(s, ",") {
		id, address, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok {
			return nil, fmt.Errorf("peers: %q: want name=host:port", entry)
		}
		if _, twice := peers[protocol.NodeID(id)]; twice {
			return nil, fmt.Errorf("peers: %s is there twice", id)
		}
		peers[protocol.NodeID(id)] = address
	}
	return peers, nil
}

// expand evaluates go-sockaddr's templates in an address.
func expand(flag, address string) (string, error) {
	expanded, err := template.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", flag, address, err)
	}
	if host, port, err := net.SplitHostPort(expanded); err == nil && host == "" &&
		strings.Contains(address, "{{") {
		return "", fmt.Errorf("%s %q: the template found no address for port %s",
			flag, address, port)
	}
	return expanded, nil
}
