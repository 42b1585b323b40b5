//go:build linux && (amd64 || arm64)

package agent

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// tellWord makes the test's binary a program that is asked for the time: one line of input,
// one of output, the time of day and a monotonic time in nanoseconds. Other threads of it
// ask all the time, too.
const tellWord = "tell-the-time"

func tellTime(in io.Reader, out io.Writer) int {
	begin := time.Now()
	for range 4 {
		crash.Go(func() {
			for last := time.Now(); ; {
				now := time.Now()
				if now.Sub(last) < 0 { // by the monotonic clock
					panic("time goes backwards")
				}
				last = now
				<-time.After(10 * time.Microsecond)
			}
		})
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		now := time.Now()
		if _, err := fmt.Fprintln(out, now.UnixNano(), int64(now.Sub(begin))); err != nil {
			return 1
		}
	}
	return 0
}
