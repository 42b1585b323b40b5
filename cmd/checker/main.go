// Command checker tests whether a distributed system keeps the consistency that
// it promises: it drives the system with concurrent clients, hurts it, records
// what every client saw, and judges that record.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	// The first interrupt ends the workload; healing, checking and the report
	// still happen. The second one cuts those short.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	gentle, stop := context.WithCancel(context.Background())
	hard, abort := context.WithCancel(context.Background())
	go func() {
		<-signals
		stop()
		// Some programs send their children one interrupt as two signals.
		for first := time.Now(); time.Since(first) < time.Second; {
			<-signals
		}
		abort()
	}()
	os.Exit(execute(interrupts{gentle: gentle, hard: hard}, os.Args[1:], os.Stdout, os.Stderr))
}
