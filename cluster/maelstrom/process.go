package maelstrom

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// mostLine is the longest line that a node may write, in bytes.
	mostLine = 16 << 20
	// mostWaiting is how many bytes of messages may wait for a node that does not read,
	// because it is paused or slow.
	mostWaiting = 64 << 20
	// lastWords is how long what a process has written may take to be read after its end:
	// somebody else may hold its output open.
	lastWords = time.Second
	// clipped is how much of what a node wrote is told.
	clipped = 160
)

// process is one run of a node, as the network sees it.
type process struct {
	node nemesis.Node
	pipe local.Pipes

	mu      sync.Mutex // guards the rest
	waiting [][]byte
	bytes   int
	ended   bool
	more    chan struct{} // capacity 1: there is something to write, or it has ended
}

func newProcess(n nemesis.Node, pipe local.Pipes) *process {
	return &process{node: n, pipe: pipe, more: make(chan struct{}, 1)}
}

// give puts a line on its way into the process. It reports false if too many wait.
func (p *process) give(line []byte) bool {
	p.mu.Lock()
	if p.bytes > mostWaiting {
		p.mu.Unlock()
		return false
	}
	p.waiting = append(p.waiting, line)
	p.bytes += len(line)
	p.mu.Unlock()
	p.signal()
	return true
}

func (p *process) signal() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// end lets write return.
func (p *process) end() {
	p.mu.Lock()
	p.ended, p.waiting = true, nil
	p.mu.Unlock()
	p.signal()
}

// write writes what is given until the process is gone: what it had not read by then died
// with it.
func (p *process) write() {
	for range p.more {
		p.mu.Lock()
		lines, ended := p.waiting, p.ended
		p.waiting = nil
		p.mu.Unlock()
		if ended {
			return
		}
		for _, line := range lines {
			_, err := p.pipe.In.Write(line)
			p.mu.Lock()
			p.bytes -= len(line)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

// closeLater sees to it that reading the output of a process ends soon after the process.
func (p *process) closeLater() {
	<-p.pipe.Gone
	err := p.pipe.Out.SetReadDeadline(time.Now().Add(lastWords))
	if err != nil && !errors.Is(err, os.ErrClosed) {
		_ = p.pipe.Out.Close() // nothing else ends the reading
	}
}

// read calls line for each line that the process writes, and long for each that is too
// long, until its output ends. What comes after the last newline was cut off by its end.
func (p *process) read(line func([]byte), long func()) {
	in := bufio.NewReaderSize(p.pipe.Out, 64<<10)
	var text []byte
	tooLong := false
	for {
		part, err := in.ReadSlice('\n')
		if tooLong = tooLong || len(text)+len(part) > mostLine; !tooLong {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil: // io.EOF, or somebody has closed it
			return
		case tooLong:
			long()
		case len(bytes.TrimSpace(text)) > 0:
			line(text)
		}
		text, tooLong = nil, false // who was given it may keep it
	}
}

// clip keeps what a node wrote short.
func clip(b []byte) string {
	s := strings.ToValidUTF8(string(bytes.TrimSpace(b[:min(len(b), 4*clipped)])), "\uFFFD")
	switch r := []rune(s); {
	case s == "":
		return "(missing)"
	case len(r) > clipped:
		return string(r[:clipped]) + "…"
	}
	return s
}
