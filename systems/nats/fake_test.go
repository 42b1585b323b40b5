package nats

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a server that speaks NATS's protocol, and answers publications as a test tells it
// to. What it is not told about a stream's info it answers as a healthy server.
type fake struct {
	address, version string
	// answer is told a subject and what was published there, and says what comes back.
	answer func(subject, body string) []reply

	mu        sync.Mutex
	published []string // subjects
}

// reply is one message that comes back. Without anything the fake hangs up.
type reply struct{ header, body string }

// hangUp ends the connection.
func hangUp() []reply { return []reply{{}} }

// mute is no answer.
func mute() []reply { return []reply{} }

// status is an answer without a body.
func status(line string) []reply { return []reply{{header: "NATS/1.0 " + line + "\r\n\r\n"}} }

func body(text string) []reply { return []reply{{body: text}} }

func newFake(t *testing.T, answer func(subject, body string) []reply) *fake {
	t.Helper()
	return newFakeOf(t, "2.12.1", answer)
}

// newFakeOf is a fake that says that it has a version.
func newFakeOf(t *testing.T, version string, answer func(subject, body string) []reply) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{address: l.Addr().String(), version: version, answer: answer}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Add(1)
			go func() {
				defer all.Done()
				_ = f.serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return f
}

func (f *fake) serve(c net.Conn) error {
	defer c.Close()
	fmt.Fprintf(c, `INFO {"server_id":"F","server_name":"n1","version":%q,"headers":true,`+
		`"max_payload":1048576,"proto":1,"jetstream":true}`+"\r\n", f.version)
	subs := map[string]string{} // subjects by their ids
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		switch strings.ToUpper(words[0]) {
		case "PING":
			if _, err := io.WriteString(c, "PONG\r\n"); err != nil {
				return err
			}
		case "SUB":
			subs[words[len(words)-1]] = words[1]
		case "PUB", "HPUB":
			if err := f.publication(c, r, words, subs); err != nil {
				return err
			}
		}
	}
}

// publication reads what is published, and sends what the test says to whoever has
// subscribed the reply's subject.
func (f *fake) publication(
	c net.Conn, r *bufio.Reader, words []string, subs map[string]string,
) error {
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return err
	}
	data := make([]byte, size+2)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	subject, to := words[1], words[2]
	f.mu.Lock()
	f.published = append(f.published, subject)
	f.mu.Unlock()
	answers := f.answer(subject, string(data[:size]))
	if answers == nil && strings.HasPrefix(subject, "$JS.API.STREAM.INFO.") {
		answers = body(`{"config":{"name":"ordeal"},"state":{},"cluster":{"leader":"n1","replicas":[` +
			`{"name":"n2","current":true},{"name":"n3","current":true}]}}`)
	}
	for _, a := range answers {
		if a == (reply{}) {
			return io.EOF
		}
		for id, pattern := range subs {
			if pattern != to && !strings.HasPrefix(to, strings.TrimSuffix(pattern, "*")) {
				continue
			}
			if a.header == "" {
				fmt.Fprintf(c, "MSG %s %s %d\r\n%s\r\n", to, id, len(a.body), a.body)
				continue
			}
			fmt.Fprintf(c, "HMSG %s %s %d %d\r\n%s%s\r\n", to, id, len(a.header),
				len(a.header)+len(a.body), a.header, a.body)
		}
	}
	return nil
}

func (f *fake) count(subject string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.published {
		if s == subject {
			n++
		}
	}
	return n
}
