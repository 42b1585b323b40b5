package server

import (
	"fmt"
	"testing"
	"time"
)

// Times of the table are in seconds since the clock was made; each row sets the
// clock, lets real time pass, and reads both clocks.
func TestClock(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	origin := now
	clock := NewClock(func() time.Time { return now })
	for _, tc := range []struct {
		setting    string
		pass       time.Duration
		mono, wall float64
		why        string
	}{
		{``, 10 * time.Second, 10, 10, "true"},
		{`{"offset":"2s"}`, 0, 12, 12, "steps ahead at once"},
		{`{"offset":"2s"}`, time.Second, 13, 13, "and runs on"},
		{`{"offset":"-3s"}`, 0, 8, 8, "steps back"},
		{``, 0, 11, 11, "true again: 11 s have passed"},
		{`{"rate":2}`, 10 * time.Second, 31, 31, "twice as fast"},
		{`{"monotonic":{"rate":0.5}}`, 10 * time.Second, 36, 31,
			"wall is true again after 31 s, monotonic keeps its lead"},
		{`{"freeze":true}`, 10 * time.Second, 36, 31, "both stand"},
		{`{"freeze":true,"rate":3,"offset":"1s"}`, time.Second, 37, 32, "frozen wins over rate"},
		{`{"wall":{"freeze":true}}`, time.Second, 37, 31, "only wall stands"},
		{`{"freeze":true,"wall":{"freeze":false}}`, 2 * time.Second, 37, 45,
			"only monotonic stands: wall was true, after 45 s"},
		{`{}`, time.Second, 38, 46, "true, and monotonic did not jump"},
	} {
		s, err := ParseSetting([]byte(tc.setting))
		if err != nil {
			t.Fatal(err)
		}
		clock.Set(s)
		now = now.Add(tc.pass)
		mono := time.Duration(clock.Mono()).Seconds()
		wall := clock.Wall().Sub(origin).Seconds()
		if got, want := fmt.Sprintf("%.3f %.3f", mono, wall),
			fmt.Sprintf("%.3f %.3f", tc.mono, tc.wall); got != want {
			t.Errorf("%s (%s): clocks %s, want %s", tc.setting, tc.why, got, want)
		}
	}
}

// Only an offset that falls steps monotonic time back.
func TestMonotonicNeverFallsByItself(t *testing.T) {
	now := time.Unix(0, 0)
	clock := NewClock(func() time.Time { return now })
	last := clock.Mono()
	for i, setting := range []string{
		`{"rate":10}`, `{"rate":0.1}`, `{"freeze":true}`, ``, `{"rate":0}`, `{"offset":"1s"}`,
		`{"rate":1.5,"offset":"1s"}`, `{"freeze":true,"offset":"1s"}`,
	} {
		s, err := ParseSetting([]byte(setting))
		if err != nil {
			t.Fatal(err)
		}
		clock.Set(s)
		for range 100 {
			if m := clock.Mono(); m < last {
				t.Fatalf("setting %d, %s: %d after %d", i, setting, m, last)
			} else {
				last = m
			}
			now = now.Add(time.Millisecond)
		}
	}
}

func TestBadSettings(t *testing.T) {
	for _, bad := range []string{
		`{`, `[]`, `{} {}`, `{"offset":5}`, `{"offset":"5 parsecs"}`, `{"offset":"900000h"}`,
		`{"rate":-1}`, `{"rate":1001}`, `{"freeze":"yes"}`, `{"speed":1}`,
		`{"wall":{"rate":-1}}`, `{"monotonic":{"offset":""}}`,
	} {
		if s, err := ParseSetting([]byte(bad)); err == nil {
			t.Errorf("%s: taken as %+v", bad, s)
		}
	}
}
