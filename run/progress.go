package run

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells a person how far the test is: on a terminal one line that is
// rewritten twice a second, elsewhere a line every ten seconds.
type progress struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex // Protects fields below.
	width int
	last  time.Time
}

const plainInterval = 10 * time.Second

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// status shows where the test is at the moment.
func (p *progress) status(now time.Time, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		if now.Sub(p.last) >= plainInterval {
			p.last = now
			fmt.Fprintln(p.out, line)
		}
		return
	}
	p.wipe()
	fmt.Fprint(p.out, line)
	p.width = len([]rune(line))
}

// done ends the rewritten line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}

// wipe clears the rewritten line. The caller holds the lock.
func (p *progress) wipe() {
	if p.width > 0 {
		fmt.Fprint(p.out, "\r", strings.Repeat(" ", p.width), "\r")
		p.width = 0
	}
}
