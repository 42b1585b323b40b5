package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func TestConform(t *testing.T) {
	b := newBench(t)
	shelltest.Conform(t, b.shell, node, filepath.Join(t.TempDir(), "files"))
	if _, n := b.seen(""); n != 1 {
		t.Errorf("%d connections were made, want one for all", n)
	}
}

// sh runs a script with a word in it by which servers and tests know it again.
func sh(script, word string) remote.Command {
	return remote.Command{Argv: []string{"sh", "-c", script, word}}
}

// alive reports whether a process with the word on its command line runs.
func alive(t *testing.T, word string) bool {
	t.Helper()
	out, err := exec.Command("grep", "-lsaF", word, "-r", "--include=cmdline", "/proc",
		"--exclude-dir=task").Output()
	_ = err // grep says 1 for none, and 2 when a process ends meanwhile
	for line := range strings.Lines(string(out)) {
		cmdline, err := os.ReadFile(strings.TrimSpace(line))
		if err == nil && !bytes.HasPrefix(cmdline, []byte("grep")) {
			return true
		}
	}
	return false
}

// pipe is a named pipe by which a command tells the test that it runs.
type pipe struct {
	t    *testing.T
	path string
}

func newPipe(t *testing.T) pipe {
	t.Helper()
	p := pipe{t: t, path: filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// tell is what the command does.
func (p pipe) tell() string { return "echo >" + remote.Quote(p.path) }

// wait returns when it has done so.
func (p pipe) wait() {
	if _, err := os.ReadFile(p.path); err != nil {
		p.t.Error(err)
	}
}

// However a connection breaks, the error says what can be known, the command is never
// run twice, and nothing of it runs any more when the next one does.
func TestBrokenConnection(t *testing.T) {
	for _, c := range []struct {
		name     string
		does     act
		script   string
		notRun   bool
		lost     bool
		times    int // how often it was run
		sameConn bool
	}{
		{
			name: "refused", does: refuse, script: `echo x >>"$1"`, notRun: true, sameConn: true,
		},
		{name: "before it ran", does: cutFirst, script: `echo x >>"$1"`, notRun: true, lost: true},
		{
			name: "while it ran", does: cutAmid, lost: true, times: 1,
			script: `echo x >>"$1"; echo; sleep 20; echo y >>"$1"`,
		},
		{name: "after it ran", does: cutLast, script: `echo x >>"$1"`, lost: true, times: 1},
		{
			name: "no status", does: mute, script: `echo x >>"$1"`, lost: true, times: 1,
			sameConn: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			file := filepath.Join(t.TempDir(), "effects")
			b.does("victim", c.does)
			_, err := b.shell.Run(t.Context(), node, remote.Command{
				Argv: []string{"sh", "-c", c.script, "victim", file},
			})
			if !remote.Unreachable(err) || remote.DidNotRun(err) != c.notRun ||
				errors.Is(err, ErrLost) != c.lost {
				t.Errorf("got %v", err)
			}
			if r, err := b.shell.Run(t.Context(), node, sh("echo next", "next")); err != nil ||
				string(r.Stdout) != "next\n" {
				t.Errorf("the next command: %q, %v", r.Stdout, err)
			}
			if alive(t, file) {
				t.Error("it still runs when the next command has run")
			}
			effects, _ := os.ReadFile(file)
			n := strings.Count(string(effects), "x")
			if n != c.times || strings.Contains(string(effects), "y") {
				t.Errorf("it was run %d times, want %d: %q", n, c.times, effects)
			}
			commands, connections := b.seen("victim")
			if commands != 1 || connections > 1 != !c.sameConn {
				t.Errorf("sent %d times over %d connections", commands, connections)
			}
		})
	}
}

// A connection that broke while nobody used it costs nothing but a new one.
func TestReconnect(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		r, err := b.shell.Run(t.Context(), node, sh("echo $0", "word"))
		if err != nil || string(r.Stdout) != "word\n" {
			t.Errorf("%d: %q, %v", i, r.Stdout, err)
		}
		b.cut()
	}
	if commands, _ := b.seen("word"); commands != 5 {
		t.Errorf("%d commands, want 5", commands)
	}
}

// A machine that is not there is tried a few times, and not for ever.
func TestNobodyThere(t *testing.T) {
	b := newBench(t)
	_ = b.listen.Close()
	_, err := b.shell.Run(t.Context(), node, sh("true", "x"))
	if !remote.DidNotRun(err) {
		t.Errorf("got %v", err)
	}
}

// One that accepts and says nothing holds up a call only for as long as is allowed.
func TestSlowNode(t *testing.T) {
	listen, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listen.Close() }()
	b := newBench(t, func(s *server, c *Config) {
		port := listen.Addr().(*net.TCPAddr).Port
		c.Hosts[node] = Host{Hop: Hop{Address: "127.0.0.1", Port: port}}
		c.KnownHosts = []string{know(t, knownhosts.Line([]string{listen.Addr().String()},
			s.hosts[0].PublicKey()))}
		c.DialTime, c.Attempts = 200*time.Millisecond, 2
	})
	began := time.Now()
	_, err = b.shell.Run(t.Context(), node, sh("true", "x"))
	if !remote.DidNotRun(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A node that falls silent is given up, also when the command has no end of its own,
// and so is what was running there, as soon as the node can be reached again.
func TestSilentNode(t *testing.T) {
	b := newBench(t, func(_ *server, c *Config) { c.AliveEvery = 50 * time.Millisecond })
	started := newPipe(t)
	go func() {
		started.wait()
		b.freeze()
	}()
	_, err := b.shell.Run(t.Context(), node, sh(started.tell()+"; sleep 20", "victim"))
	if !errors.Is(err, ErrLost) || remote.DidNotRun(err) {
		t.Errorf("got %v", err)
	}
	if _, err := b.shell.Run(t.Context(), node, sh("true", "x")); err != nil {
		t.Error(err)
	}
	if alive(t, "victim") {
		t.Error("the command still runs")
	}
}

// A machine with another key than the known one is not spoken to, nor is a stranger.
func TestHostKeys(t *testing.T) {
	other, _ := newKey(t)
	for _, c := range []struct {
		name  string
		known func(s *server) string
		says  string
		dials int
	}{
		{"wrong", func(s *server) string { return s.line(other) }, "is not the key in", 1},
		{"unknown", func(*server) string {
			return knownhosts.Line([]string{"example.com"}, other.PublicKey())
		}, "no key of", 0},
		{"its other key", func(s *server) string { return s.line(s.hosts[1]) }, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(s *server, cfg *Config) {
				cfg.KnownHosts = []string{know(t, c.known(s))}
			})
			_, err := b.shell.Run(t.Context(), node, sh("true", "x"))
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, ErrHostKey) || !remote.DidNotRun(err) ||
				!strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if commands, n := b.seen(""); n != c.dials || c.says != "" && commands > 0 {
				t.Errorf("%d connections and %d commands, want %d and none", n, commands, c.dials)
			}
		})
	}
}

// A node behind a jump host, whose connections all end with the jump host's.
func TestJump(t *testing.T) {
	key, file := newKey(t)
	inner := serve(t, key.PublicKey())
	outer := serve(t, key.PublicKey())
	jump := outer.hop()
	shell, err := New(Config{
		Hosts: map[nemesis.Node]Host{
			"n1": {Hop: inner.hop(), Jump: &jump}, "n2": {Hop: inner.hop(), Jump: &jump},
		},
		KnownHosts: []string{know(t, inner.line(inner.hosts[0])), know(t, outer.line(outer.hosts[0]))},
		KeyFiles:   []string{file},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shell.Close() }()
	hello := func() {
		t.Helper()
		for _, n := range []nemesis.Node{"n1", "n2"} {
			r, err := shell.Run(t.Context(), n, sh("echo hello", "x"))
			if err != nil || string(r.Stdout) != "hello\n" {
				t.Errorf("%s: %q, %v", n, r.Stdout, err)
			}
		}
	}
	hello()
	if _, n := outer.seen(""); n != 1 {
		t.Errorf("%d connections to the jump host, want 1", n)
	}
	outer.cut()
	hello()
	if commands, _ := outer.seen(""); commands != 0 {
		t.Errorf("%d commands were run on the jump host", commands)
	}
	// Its key counts, too.
	other, _ := newKey(t)
	wrong, err := New(Config{
		Hosts:      map[nemesis.Node]Host{"n1": {Hop: inner.hop(), Jump: &jump}},
		KnownHosts: []string{know(t, inner.line(inner.hosts[0]), outer.line(other))},
		KeyFiles:   []string{file},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = wrong.Close() }()
	if _, err := wrong.Run(t.Context(), "n1", sh("true", "x")); !errors.Is(err, ErrHostKey) {
		t.Errorf("a jump host with a wrong key: %v", err)
	}
}

// A command whose context ends is dead on the node when Run returns.
func TestContextKills(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := newPipe(t)
	go func() {
		started.wait()
		cancel()
	}()
	// What it has started is killed with it, also when it ignores other signals.
	_, err := b.shell.Run(ctx, node, sh("trap '' TERM HUP INT; sleep 20 & "+started.tell()+
		"; sleep 20", "victim"))
	if !errors.Is(err, context.Canceled) || remote.DidNotRun(err) {
		t.Errorf("got %v", err)
	}
	if alive(t, "victim") {
		t.Error("it still runs")
	}
}

func TestAgent(t *testing.T) {
	keyring := agent.NewKeyring()
	socket := filepath.Join(t.TempDir(), "agent")
	listen, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listen.Close() }()
	go func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(keyring, c)
			_ = c.Close()
		}
	}()
	b := newBench(t, func(_ *server, c *Config) {
		pem, err := os.ReadFile(c.KeyFiles[0])
		if err != nil {
			t.Fatal(err)
		}
		private, err := ssh.ParseRawPrivateKey(pem)
		if err != nil {
			t.Fatal(err)
		}
		if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
		c.KeyFiles, c.Agent = nil, socket
	})
	if r, err := b.shell.Run(t.Context(), node, sh("echo $0", "hi")); err != nil ||
		string(r.Stdout) != "hi\n" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
}

// Somebody who is not root runs everything by sudo, files too.
func TestSudo(t *testing.T) {
	bin := t.TempDir()
	uses := filepath.Join(bin, "uses")
	script := "#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\necho . >>" + uses +
		"\nshift 2\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(s *server, c *Config) {
		s.path = bin
		hop := s.hop()
		hop.User = "somebody"
		c.Hosts[node] = Host{Hop: hop}
	})
	shelltest.Conform(t, b.shell, node, filepath.Join(t.TempDir(), "files"))
	commands, _ := b.seen("")
	if n, _ := os.ReadFile(uses); strings.Count(string(n), ".") != commands || commands < 20 {
		t.Errorf("sudo was used %d times for %d commands", strings.Count(string(n), "."), commands)
	}
}

// An upload that breaks or is damaged leaves the old file, and nothing beside it.
func TestBrokenUpload(t *testing.T) {
	for _, c := range []struct {
		name    string
		trouble func(b *bench, dir string)
		says    string
	}{
		{"cut while sending", func(b *bench, _ string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.budget = 200 << 10
		}, "connection lost"},
		{"damaged on the way", func(b *bench, dir string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.on = func(line string) act {
				staged, _ := filepath.Glob(dir + "/.ordeal-*")
				if strings.Contains(line, " place ") && len(staged) == 1 {
					f, _ := os.OpenFile(staged[0], os.O_WRONLY, 0)
					_, _ = f.WriteAt([]byte{1}, 1000)
					_ = f.Close()
				}
				return obey
			}
		}, "checksum"},
		{"cut before it takes its place", func(b *bench, _ string) { b.does(" place ", cutFirst) },
			"connection lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			dir := t.TempDir()
			file := remote.File{Path: filepath.Join(dir, "f"), Content: []byte("old"), Mode: 0o600}
			if err := b.shell.Upload(t.Context(), node, file); err != nil {
				t.Fatal(err)
			}
			c.trouble(b, dir)
			file.Content = make([]byte, 1<<20)
			err := b.shell.Upload(t.Context(), node, file)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if got, _ := os.ReadFile(file.Path); string(got) != "old" {
				t.Errorf("the file has %d bytes", len(got))
			}
			if names, _ := os.ReadDir(dir); len(names) != 1 {
				t.Errorf("left there: %v", names)
			}
			b.does("no such word", obey)
			if err := b.shell.Upload(t.Context(), node, file); err != nil {
				t.Errorf("the next upload: %v", err)
			}
			if got, _ := os.ReadFile(file.Path); !bytes.Equal(got, file.Content) {
				t.Errorf("the file has %d bytes", len(got))
			}
		})
	}
}

// The same file is not sent twice.
func TestUploadOnce(t *testing.T) {
	b := newBench(t)
	file := remote.File{Path: filepath.Join(t.TempDir(), "f"), Content: []byte("x"), Mode: 0o644}
	for range 3 {
		if err := b.shell.Upload(t.Context(), node, file); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := b.seen(" place "); n != 1 {
		t.Errorf("it was put there %d times", n)
	}
}

// Close ends what runs, and nothing of the Shell is left.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	b := newBench(t)
	started := newPipe(t)
	outcome := make(chan error, 1)
	go func() {
		_, err := b.shell.Run(context.Background(), node, sh(started.tell()+"; sleep 1", "victim"))
		outcome <- err
	}()
	started.wait()
	if err := b.shell.Close(); err != nil {
		t.Error(err)
	}
	if err := <-outcome; !remote.Unreachable(err) || remote.DidNotRun(err) {
		t.Errorf("got %v", err)
	}
	if _, err := b.shell.Run(t.Context(), node, sh("true", "x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	_ = b.listen.Close()
	b.wg.Wait()
	// A goroutine that has said that it is done is still there for a moment.
	tick, late := time.NewTicker(time.Millisecond), time.After(5*time.Second)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-late:
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before,
				buf[:runtime.Stack(buf, true)])
		}
	}
}

// hole is a connection that never answers a request for a channel, not even when it has
// ended.
type hole struct {
	ssh.Conn
	ended chan struct{}
	once  sync.Once
}

func (h *hole) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	select {}
}

func (h *hole) Wait() error {
	<-h.ended
	return io.EOF
}

func (h *hole) Close() error {
	h.once.Do(func() { close(h.ended) })
	return nil
}

// A channel that never opens is given up with its connection, and does not keep the
// Shell from closing.
func TestUnansweredOpen(t *testing.T) {
	b := newBench(t)
	h := &hole{ended: make(chan struct{})}
	channels, requests := make(chan ssh.NewChannel), make(chan *ssh.Request)
	close(channels)
	close(requests)
	l := b.shell.newLink(b.hop(), ssh.NewClient(h, channels, requests))
	for name, give := range map[string]func() context.Context{
		"context ends": func() context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		},
		"connection ends": func() context.Context {
			l.end(ErrLost)
			return t.Context()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if ch, err := l.open(give()); ch != nil || err == nil {
				t.Errorf("open = %v, %v; want an error", ch, err)
			}
		})
	}
	if err := b.shell.Close(); err != nil { // does not hang
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	err := Config{
		Hosts: map[nemesis.Node]Host{"n1": {Hop: Hop{Port: 70000}, Jump: &Hop{}}},
	}.Validate()
	for _, want := range []string{
		"n1: no address", "port 70000", "neither a key file nor an agent", "no file of known hosts",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, err := New(Config{
		Hosts:      map[nemesis.Node]Host{"n1": {Hop: Hop{Address: "a"}}},
		KnownHosts: []string{"/nowhere"}, KeyFiles: []string{"/nothing"},
	}); err == nil || !strings.Contains(err.Error(), "ssh-keyscan") ||
		!strings.Contains(err.Error(), "/nothing") {
		t.Errorf("files that are not there: %v", err)
	}
}
