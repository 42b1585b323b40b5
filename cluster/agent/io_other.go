//go:build !linux

package agent

import (
	"errors"
	"fmt"
)

// openPacketIO fails: only Linux hands packets to programs in this way.
func openPacketIO(uint16, uint32) (packetIO, error) {
	return nil, fmt.Errorf("packet queue: %w", errors.ErrUnsupported)
}
