//go:build linux && (amd64 || arm64)

package agent

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// benchCase is a way for packets from a to b.
type benchCase struct {
	name  string
	agent bool
	rule  nemesis.Rule
}

func benchCases() []benchCase {
	return []benchCase{
		{"direct", false, nemesis.Rule{}},
		{"clean", true, nemesis.Rule{}},
		{"delay=5ms", true, nemesis.Rule{Delay: 5 * ms}},
		{"loss,duplicate,reorder", true, nemesis.Rule{Loss: 0.05, Duplicate: 0.05, Reorder: 0.05}},
	}
}

// each runs a benchmark in each case, in a world of its own.
func (c benchCase) run(b *testing.B, f func(b *testing.B, w *world, a *agentOn)) {
	b.Run(c.name, func(b *testing.B) {
		w := newWorld(b)
		var a *agentOn
		if c.agent {
			a = w.start("a")
			a.set(oneLink(1, addr4["b"], c.rule))
		}
		f(b, w, a)
	})
}

// cpuTime is what a process has used so far.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	user, _ := strconv.Atoi(fields[12])
	system, _ := strconv.Atoi(fields[13])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkQueueDatagrams sends datagrams of 200 bytes as fast as they go.
func BenchmarkQueueDatagrams(b *testing.B) {
	for _, c := range benchCases() {
		c.run(b, func(b *testing.B, w *world, a *agentOn) {
			from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
			counted := make(chan int)
			go func() {
				n := 0
				buf := make([]byte, 2000)
				for {
					_ = to.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := to.Read(buf); err != nil {
						break
					}
					n++
				}
				counted <- n
			}()
			data, address := make([]byte, 200), to.LocalAddr()
			var before Status
			var used time.Duration
			if a != nil {
				before = a.call("", "status")
				used = cpuTime(b, before.PID)
			}
			b.ResetTimer()
			for range b.N {
				if _, err := from.WriteTo(data, address); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			n := <-counted
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sent/s")
			b.ReportMetric(float64(n)/float64(b.N), "arrived/sent")
			if a != nil {
				after := a.call("", "status")
				seen := after.Queue.Stats.Received - before.Queue.Stats.Received
				b.ReportMetric(float64(after.Queue.Stats.Missed)/float64(b.N), "missed/sent")
				b.ReportMetric(float64((cpuTime(b, before.PID)-used).Microseconds())/float64(seen),
					"agent-µs/packet")
			}
		})
	}
}

// BenchmarkQueueRoundTrip sends a datagram there and waits for it to come back.
func BenchmarkQueueRoundTrip(b *testing.B) {
	for _, c := range benchCases()[:3] {
		c.run(b, func(b *testing.B, w *world, _ *agentOn) {
			from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
			go func() {
				buf := make([]byte, 2000)
				for {
					n, back, err := to.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = to.WriteTo(buf[:n], back)
				}
			}()
			data, address := make([]byte, 200), to.LocalAddr()
			trips := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for range b.N {
				begin := time.Now()
				_ = from.SetReadDeadline(begin.Add(5 * time.Second))
				if _, err := from.WriteTo(data, address); err != nil {
					b.Fatal(err)
				}
				if _, err := from.Read(data); err != nil {
					b.Fatal(err)
				}
				trips = append(trips, time.Since(begin))
			}
			b.StopTimer()
			slices.Sort(trips)
			b.ReportMetric(float64(trips[len(trips)/2].Microseconds()), "median-µs")
			b.ReportMetric(float64(trips[len(trips)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkQueueStream sends a stream through one connection.
func BenchmarkQueueStream(b *testing.B) {
	const chunk = 1 << 20
	for _, c := range benchCases() {
		c.run(b, func(b *testing.B, w *world, _ *agentOn) {
			var listener net.Listener
			w.inside("b", func() (err error) {
				listener, err = net.Listen("tcp", addr4["b"]+":0")
				return err
			})
			defer func() { _ = listener.Close() }()
			done := make(chan error, 1)
			go func() {
				conn, err := listener.Accept()
				if err == nil {
					var n int64
					if n, err = io.Copy(io.Discard, conn); n != int64(b.N)*chunk {
						err = fmt.Errorf("%d bytes came: %w", n, err)
					}
				}
				done <- err
			}()
			conn := w.dial("a", addr4["b"], listener.Addr().(*net.TCPAddr).Port)
			data := make([]byte, chunk)
			b.SetBytes(chunk)
			b.ResetTimer()
			for range b.N {
				if _, err := conn.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			_ = conn.Close()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
