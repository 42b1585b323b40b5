package agent

import "syscall"

// setMark marks what a socket sends; it needs CAP_NET_ADMIN.
func setMark(fd int, mark uint32) error {
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_MARK, int(mark))
}

// markProbe marks a probe's socket, so that a queue agent does not count what it sends.
// Without the right to do that there is no queue agent either.
func markProbe(_, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) { _ = setMark(int(fd), ProbeMark) })
}
