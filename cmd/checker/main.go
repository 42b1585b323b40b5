// Command checker tests whether a distributed system keeps the consistency that
// it promises: it drives the system with concurrent clients, hurts it, records
// what every client saw, and judges that record.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

func main() {
	crash.Handle(crashed)
	crash.Guard(checker)()
}

// crashed ends the program after a panic, with a status that is no verdict.
func crashed(p crash.Panic) { os.Exit(crashReport(p, exitCrash)) }

// crashedInvalid does so when a violation was found already: it is not to be hidden.
func crashedInvalid(p crash.Panic) { os.Exit(crashReport(p, exitInvalid)) }

func crashReport(p crash.Panic, status int) int {
	if isTerminal(os.Stderr) {
		fmt.Fprintln(os.Stderr) // below the line that shows the progress
	}
	fmt.Fprintf(os.Stderr, "checker: the checker itself failed, please report it: %s\n%s",
		oneLine(p), p.Stack)
	return status
}

func checker() {
	// The first interrupt ends the workload; healing, checking and the report
	// still happen. The second one cuts those short.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	gentle, stop := context.WithCancel(context.Background())
	hard, abort := context.WithCancel(context.Background())
	crash.Go(func() {
		<-signals
		stop()
		// Some programs send their children one interrupt as two signals.
		for first := time.Now(); time.Since(first) < time.Second; {
			<-signals
		}
		abort()
	})
	os.Exit(execute(interrupts{gentle: gentle, hard: hard}, os.Args[1:], os.Stdout, os.Stderr))
}
