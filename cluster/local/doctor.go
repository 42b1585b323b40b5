package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// Finding is the answer to one question about this machine.
type Finding struct {
	// Name is what was tried: "udp", "pause", …
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail says what was seen or, if not OK, what went wrong and what cannot be
	// done for it.
	Detail string `json:"detail"`
}

// doctorLimit bounds each single trial.
const doctorLimit = 5 * time.Second

// largeDatagram is what the reference cluster may send at once.
const largeDatagram = 60_000

// Doctor finds out, by trying, what this machine can do for a local cluster. It
// leaves nothing behind.
func Doctor(ctx context.Context) []Finding {
	var findings []Finding
	try := func(name, without string, f func(context.Context) (string, error)) bool {
		ctx, cancel := context.WithTimeout(ctx, doctorLimit)
		defer cancel()
		detail, err := f(ctx)
		if err != nil {
			detail = fmt.Sprintf("%v; %s", err, without)
		}
		findings = append(findings, Finding{Name: name, OK: err == nil, Detail: detail})
		return err == nil
	}
	try("tcp", "clients cannot reach nodes", doctorTCP)
	try("udp", "no local cluster", func(ctx context.Context) (string, error) {
		return doctorUDP(ctx, 1000)
	})
	try("large datagrams", "messages between nodes must stay small",
		func(ctx context.Context) (string, error) { return doctorUDP(ctx, largeDatagram) })

	var p *patient
	if !try("spawn", "no local cluster", func(context.Context) (detail string, err error) {
		p, err = newPatient()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("started /bin/sh as pid %d in its own process group", p.pid), nil
	}) {
		return findings
	}
	defer p.discard()
	try("command line", "leftovers of a killed harness cannot be told from strangers", p.commandLine)
	try("pause", "no pause faults", p.pause)
	try("kill", "no kill faults", p.kill)
	return findings
}

func doctorTCP(ctx context.Context) (string, error) {
	listener, err := net.Listen("tcp4", loopback(0))
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("connected to %s", listener.Addr()), conn.Close()
}

// doctorUDP sends one datagram of n bytes to itself.
func doctorUDP(ctx context.Context, n int) (string, error) {
	conn, err := listenUDP(0)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	sent := bytes.Repeat([]byte{0xa5}, n)
	if _, err := conn.WriteTo(sent, conn.LocalAddr()); err != nil {
		return "", err
	}
	got := make([]byte, maxDatagram)
	m, err := conn.Read(got)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(got[:m], sent) {
		return "", fmt.Errorf("%d bytes sent, %d received", len(sent), m)
	}
	return fmt.Sprintf("%d bytes over loopback", n), nil
}

// patient is a process for trying signals on.
type patient struct {
	*process
	dir string
	ps  inspector
}

// newPatient starts a shell that waits for the end of its standard input, with a
// marker on its command line like a node's.
func newPatient() (*patient, error) {
	dir, err := os.MkdirTemp("", "ordeal-doctor-")
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { _ = out.Close() }()
	p, err := spawn([]string{"/bin/sh", "-c", "read line", "sh", dir}, out, false)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	crash.Go(func() {
		defer close(p.done)
		_ = p.cmd.Wait()
		p.status = p.cmd.ProcessState.String()
	})
	return &patient{process: p, dir: dir, ps: newInspector()}, nil
}

func (p *patient) discard() {
	_ = p.signal(syscall.SIGKILL)
	_ = p.stdin.Close()
	<-p.done
	_ = os.RemoveAll(p.dir)
}

func (p *patient) commandLine(ctx context.Context) (string, error) {
	line, err := p.ps.commandLine(ctx, p.pid)
	if err != nil {
		return "", err
	}
	if !carries(line, p.dir) {
		return "", fmt.Errorf("%q does not show the argument %s", line, p.dir)
	}
	source := p.ps.proc
	if source == "" {
		source = "ps"
	}
	return "read through " + source, nil
}

func (p *patient) pause(ctx context.Context) (string, error) {
	for _, step := range []struct {
		sig     syscall.Signal
		stopped bool
	}{{sig: syscall.SIGSTOP, stopped: true}, {sig: syscall.SIGCONT, stopped: false}} {
		if err := p.signal(step.sig); err != nil {
			return "", err
		}
		for {
			is, err := p.ps.stopped(ctx, p.pid)
			if err != nil {
				return "", err
			}
			if is == step.stopped {
				break
			}
			select {
			case <-time.After(statePoll):
			case <-ctx.Done():
				return "", fmt.Errorf("not seen to follow %v: %w", step.sig, ctx.Err())
			}
		}
	}
	return "SIGSTOP and SIGCONT seen to work", nil
}

func (p *patient) kill(ctx context.Context) (string, error) {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if !strings.Contains(p.status, "killed") {
		return "", fmt.Errorf("ended with %q", p.status)
	}
	return "SIGKILL seen to work", nil
}
