package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Clock is the one place where a node reads time, as wall time and as monotonic
// time. Both run true until a Setting bends them: a static Go program reads the
// time without asking libc, so nothing outside the process could.
//
// Monotonic time starts at 0 with the clock and never falls, except when the
// offset of a Setting falls: only that steps it backwards.
type Clock struct {
	mu         sync.Mutex
	real       func() time.Time
	mono, wall hand
}

// hand is one bent clock. It shows shown + rate * (now - since) + offset.
type hand struct {
	since  time.Time
	shown  time.Duration // since the clock's own origin, without the offset
	offset time.Duration
	rate   float64
}

func (h *hand) run(now time.Time) time.Duration {
	return h.shown + time.Duration(float64(now.Sub(h.since))*h.rate)
}

// bend makes the hand go on from where it stands, at another rate.
func (h *hand) bend(now time.Time, b bent) {
	h.shown, h.since = h.run(now), now
	h.offset, h.rate = b.offset, b.rate
}

// NewClock returns a clock that follows real, which must be monotonic, as
// time.Now is.
func NewClock(real func() time.Time) *Clock {
	now := real()
	return &Clock{
		real: real,
		mono: hand{since: now, rate: 1},
		wall: hand{since: now, rate: 1, shown: time.Duration(now.UnixNano())},
	}
}

// Mono returns the node's monotonic time.
func (c *Clock) Mono() protocol.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return protocol.Time(c.mono.run(c.real()) + c.mono.offset)
}

// Wall returns what the node takes for the time of day.
func (c *Clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(0, int64(c.wall.run(c.real())+c.wall.offset)).UTC()
}

// WallError is how far wall time is ahead of the real one.
func (c *Clock) WallError() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.real()
	return c.wall.run(now) + c.wall.offset - time.Duration(now.UnixNano())
}

// Set bends the clock from now on. Offsets step at once; a new rate goes on from
// the time shown; a clock that is no longer frozen goes on from where it stood.
// When nothing bends wall time any more it steps back to the real one, as NTP
// would set it; monotonic time keeps what drift and freezing have made of it.
func (c *Clock) Set(s Setting) {
	mono, wall := s.parts()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.real()
	c.mono.bend(now, mono)
	c.wall.bend(now, wall)
	if wall == (bent{rate: 1}) {
		c.wall.shown = time.Duration(now.UnixNano())
	}
}

// Setting is the content of a clock file. The fields at the top are for both
// clocks, those of Wall and Monotonic for one, and win. The zero Setting is a
// true clock.
type Setting struct {
	Bend
	Wall      *Bend `json:"wall,omitempty"`
	Monotonic *Bend `json:"monotonic,omitempty"`
}

// Bend is what is wrong with a clock; a missing field is not.
type Bend struct {
	// Offset is added to the time shown, "500ms", "-2s".
	Offset *string `json:"offset,omitempty"`
	// Rate is seconds shown per real second, 0 to maxRate.
	Rate *float64 `json:"rate,omitempty"`
	// Freeze stops the clock, whatever the rate.
	Freeze *bool `json:"freeze,omitempty"`
}

const (
	maxRate   = 1000
	maxOffset = 10 * 365 * 24 * time.Hour
)

// ParseSetting reads a clock file. Blank content is the zero Setting.
func ParseSetting(content []byte) (Setting, error) {
	var s Setting
	if len(bytes.TrimSpace(content)) == 0 {
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Setting{}, fmt.Errorf("parse clock setting: %w", err)
	}
	if d.More() {
		return Setting{}, fmt.Errorf("parse clock setting: more than one object")
	}
	for _, b := range []*Bend{&s.Bend, s.Wall, s.Monotonic} {
		if err := b.check(); err != nil {
			return Setting{}, fmt.Errorf("parse clock setting: %w", err)
		}
	}
	return s, nil
}

func (b *Bend) check() error {
	if b == nil {
		return nil
	}
	if b.Offset != nil {
		d, err := time.ParseDuration(*b.Offset)
		if err != nil {
			return fmt.Errorf("offset: %w", err)
		}
		if d > maxOffset || d < -maxOffset {
			return fmt.Errorf("offset %v: beyond %v", d, maxOffset)
		}
	}
	if b.Rate != nil && (math.IsNaN(*b.Rate) || *b.Rate < 0 || *b.Rate > maxRate) {
		return fmt.Errorf("rate %v: not between 0 and %d", *b.Rate, maxRate)
	}
	return nil
}

// bent is a Bend with nothing missing.
type bent struct {
	offset time.Duration
	rate   float64
}

// parts resolves a checked setting for each clock.
func (s Setting) parts() (mono, wall bent) {
	return s.resolve(s.Monotonic), s.resolve(s.Wall)
}

func (s Setting) resolve(own *Bend) bent {
	b := bent{rate: 1}
	freeze := false
	for _, layer := range []*Bend{&s.Bend, own} {
		if layer == nil {
			continue
		}
		if layer.Offset != nil {
			b.offset, _ = time.ParseDuration(*layer.Offset) // checked by ParseSetting
		}
		if layer.Rate != nil {
			b.rate = *layer.Rate
		}
		if layer.Freeze != nil {
			freeze = *layer.Freeze
		}
	}
	if freeze {
		b.rate = 0
	}
	return b
}
