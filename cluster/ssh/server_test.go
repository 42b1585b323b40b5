package ssh

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// act is what a server does with a command.
type act int

const (
	obey     act = iota
	refuse       // says no
	cutFirst     // breaks the connection instead of running it
	cutAmid      // runs it, and breaks the connection as soon as it has written something
	cutLast      // runs it to its end, and breaks the connection instead of telling
	mute         // runs it to its end, and closes the channel without a status
)

// server is an SSH server that really runs what it is told, on this machine.
type server struct {
	t      *testing.T
	listen net.Listener
	config *ssh.ServerConfig
	hosts  []ssh.Signer
	path   string // put before PATH for login shells
	wg     sync.WaitGroup

	mu       sync.Mutex
	on       func(line string) act
	conns    map[*conn]bool
	accepted int
	lines    []string
	budget   int // bytes that SFTP still takes before the connection breaks; 0: no end
}

// conn is a connection that can be cut, and frozen.
type conn struct {
	net.Conn
	mu     sync.Mutex
	frozen bool
	closed chan struct{}
	once   sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	frozen := c.frozen
	c.mu.Unlock()
	if frozen {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, file
}

func newECDSA(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// serve starts a server that lets one key in.
func serve(t *testing.T, client ssh.PublicKey) *server {
	t.Helper()
	listen, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listen: listen, conns: map[*conn]bool{}}
	s.config = &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if string(k.Marshal()) != string(client.Marshal()) {
				return nil, errors.New("nobody")
			}
			return nil, nil
		},
	}
	key, _ := newKey(t)
	s.hosts = []ssh.Signer{key, newECDSA(t)}
	for _, h := range s.hosts {
		s.config.AddHostKey(h)
	}
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		_ = listen.Close()
		s.cut()
		s.wg.Wait()
	})
	return s
}

// know writes a file of known hosts.
func know(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *server) addr() string { return s.listen.Addr().String() }

func (s *server) line(key ssh.Signer) string {
	return knownhosts.Line([]string{s.addr()}, key.PublicKey())
}

func (s *server) hop() Hop {
	return Hop{Address: "127.0.0.1", Port: s.listen.Addr().(*net.TCPAddr).Port}
}

// does sets what becomes of the commands of callers whose line has a word in it; what
// the transport runs for itself is obeyed.
func (s *server) does(word string, a act) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = func(line string) act {
		if strings.Contains(line, word) {
			return a
		}
		return obey
	}
}

// cut breaks all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// freeze makes the server deaf on all connections.
func (s *server) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		c.frozen = true
		c.mu.Unlock()
	}
}

// seen counts the commands with a word in them, and the connections.
func (s *server) seen(word string) (commands, connections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if strings.Contains(l, word) {
			commands++
		}
	}
	return commands, s.accepted
}

func (s *server) accept() {
	for {
		c, err := s.listen.Accept()
		if err != nil {
			return
		}
		wrapped := &conn{Conn: c, closed: make(chan struct{})}
		s.mu.Lock()
		s.accepted++
		s.conns[wrapped] = true
		s.mu.Unlock()
		s.wg.Go(func() { s.talk(wrapped) })
	}
}

func (s *server) talk(c *conn) {
	defer func() { _ = c.Close() }()
	sc, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	s.wg.Go(func() { ssh.DiscardRequests(requests) })
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			s.wg.Go(func() { s.session(c, ch) })
		case "direct-tcpip":
			s.wg.Go(func() { s.forward(ch) })
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "")
		}
	}
	_ = sc.Wait()
}

func (s *server) forward(new ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(new.ExtraData(), &to); err != nil {
		_ = new.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	out, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.ParseIP(to.Host), Port: int(to.Port)})
	if err != nil {
		_ = new.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := new.Accept()
	if err != nil {
		return
	}
	s.wg.Go(func() { ssh.DiscardRequests(reqs) })
	s.wg.Go(func() {
		_, _ = io.Copy(ch, out)
		_ = ch.Close()
	})
	_, _ = io.Copy(out, ch)
	_ = out.Close()
}

func (s *server) session(c *conn, new ssh.NewChannel) {
	ch, reqs, err := new.Accept()
	if err != nil {
		return
	}
	for req := range reqs {
		var what struct{ Value string }
		_ = ssh.Unmarshal(req.Payload, &what)
		switch req.Type {
		case "exec":
			s.wg.Go(func() { s.exec(c, ch, req, what.Value) })
		case "subsystem":
			_ = req.Reply(true, nil)
			s.wg.Go(func() {
				if server, err := sftp.NewServer(&taken{ReadWriteCloser: ch, s: s, c: c}); err == nil {
					_ = server.Serve()
				}
				_ = ch.Close()
			})
		default:
			_ = req.Reply(false, nil)
		}
	}
}

// taken cuts the connection when the server has taken as many bytes as it may.
type taken struct {
	io.ReadWriteCloser
	s *server
	c *conn
}

func (r *taken) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.budget > 0 {
		if r.s.budget -= n; r.s.budget <= 0 {
			r.s.budget = 0
			_ = r.c.Close()
		}
	}
	return n, err
}

func (s *server) exec(c *conn, ch ssh.Channel, req *ssh.Request, line string) {
	s.mu.Lock()
	s.lines = append(s.lines, line)
	does := obey
	if s.on != nil {
		does = s.on(line)
	}
	s.mu.Unlock()
	switch does {
	case refuse:
		_ = req.Reply(false, nil)
		return
	case cutFirst:
		_ = c.Close()
		return
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+s.path+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	if does == cutAmid {
		cmd.Stdout = writer(func(b []byte) (int, error) { return len(b), c.Close() })
	}
	// What a command leaves running may hold its streams.
	cmd.WaitDelay = 100 * time.Millisecond
	// Not the channel itself: Wait would wait for its end.
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = req.Reply(false, nil)
		return
	}
	_ = req.Reply(true, nil)
	s.wg.Go(func() {
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	})
	_ = cmd.Wait()
	if does == cutLast {
		_ = c.Close()
	}
	if does == obey {
		s.tell(ch, cmd.ProcessState.Sys().(syscall.WaitStatus))
	}
	_ = ch.Close()
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (s *server) tell(ch ssh.Channel, status syscall.WaitStatus) {
	if status.Signaled() {
		name := "KILL"
		if status.Signal() != syscall.SIGKILL {
			name = "TERM"
		}
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal      string
			Core        bool
			Error, Lang string
		}{Signal: name}))
		return
	}
	_, _ = ch.SendRequest("exit-status", false,
		ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())}))
}

// bench is a server and a Shell that knows it as the node n1.
type bench struct {
	*server
	shell *Shell
	cfg   Config
}

const node nemesis.Node = "n1"

// newBench connects a Shell to a new server, whose settings can be changed before.
func newBench(t *testing.T, change ...func(*server, *Config)) *bench {
	t.Helper()
	key, file := newKey(t)
	s := serve(t, key.PublicKey())
	cfg := Config{
		Hosts:      map[nemesis.Node]Host{node: {Hop: s.hop()}},
		KnownHosts: []string{know(t, s.line(s.hosts[0]))},
		KeyFiles:   []string{file},
	}
	for _, c := range change {
		c(s, &cfg)
	}
	shell, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shell.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{server: s, shell: shell, cfg: cfg}
}
