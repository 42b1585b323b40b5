package redis

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

// hangUp is what a fake answers by closing the connection, and mute by nothing.
const (
	hangUp = "hang up"
	mute   = "mute"
)

// fake is a server that speaks Redis's protocol, and answers what a test tells it to. It is a
// Sentinel, too.
type fake struct {
	address string
	// answer is told the words of a command, the first in capitals, and says the reply as it
	// is sent; "" leaves it to the fake, which is a primary that has no data.
	answer func(words []string) string

	mu       sync.Mutex
	commands []string
}

func newFake(t *testing.T, answer func(words []string) string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{address: l.Addr().String(), answer: answer}
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
				f.serve(c)
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

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		words[0] = strings.ToUpper(words[0])
		f.mu.Lock()
		f.commands = append(f.commands, words[0])
		f.mu.Unlock()
		reply := f.answer(words)
		if reply == "" {
			reply = f.usual(words)
		}
		switch reply {
		case hangUp:
			return
		case mute:
			continue
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// usual is what a primary says that is alone and empty.
func (f *fake) usual(words []string) string {
	host, port, _ := net.SplitHostPort(f.address)
	switch words[0] {
	case "ROLE":
		return "*3\r\n" + bulk("master") + ":0\r\n*0\r\n"
	case "SENTINEL":
		switch words[1] {
		case "get-master-addr-by-name":
			return array(host, port)
		case "master":
			return array("ip", host, "port", port, "flags", "master", "config-epoch", "0")
		default:
			return "*0\r\n"
		}
	case "SUBSCRIBE":
		return "*3\r\n" + bulk("subscribe") + bulk(words[1]) + ":1\r\n" +
			array("message", words[1], "10.0.0.9,1,other,0,another,10.0.0.9,2,0") +
			array("message", words[1], host+","+port+",me,0,mymaster,"+host+","+port+",0")
	case "GET":
		return "$-1\r\n"
	case "SET":
		return "+OK\r\n"
	case "EXISTS", "WAIT":
		return ":0\r\n"
	case "EVAL", "SADD", "RPUSH", "INCRBY":
		return ":1\r\n"
	case "SMEMBERS", "LRANGE":
		return "*0\r\n"
	default:
		return "-ERR unknown command\r\n"
	}
}

func (f *fake) count(command string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.commands {
		if c == command {
			n++
		}
	}
	return n
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func array(words ...string) string {
	out := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		out += bulk(w)
	}
	return out
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readNumber(r, '*')
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := readNumber(r, '$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		words[i] = string(text[:size])
	}
	return words, nil
}

func readNumber(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q: want %c", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
