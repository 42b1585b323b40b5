package remote

import (
	"errors"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// The exact commands that bend a clock under libfaketime.
func TestFaketimeScript(t *testing.T) {
	wall := func(b nemesis.Bend) nemesis.ClockSetting { return nemesis.ClockSetting{Wall: b} }
	const put = " >/d/faketime.new && mv /d/faketime.new /d/faketime\n"
	for _, test := range []struct {
		setting nemesis.ClockSetting
		want    string
	}{
		{nemesis.ClockSetting{}, "rm -f /d/faketime\n"},
		{wall(nemesis.Bend{Offset: 90 * time.Second}), "echo +90.000000000" + put},
		{wall(nemesis.Bend{Offset: -1500 * time.Millisecond}), "echo -1.500000000" + put},
		{wall(nemesis.Bend{Freeze: true}), "date '+%Y-%m-%d %H:%M:%S'" + put},
		{
			wall(nemesis.Bend{Freeze: true, Offset: -time.Minute}),
			"date -d @$(($(date +%s) + -60)) '+%Y-%m-%d %H:%M:%S'" + put,
		},
	} {
		got, err := faketimeScript("/d", test.setting)
		if err != nil || got != test.want {
			t.Errorf("%+v: %q, %v, want %q", test.setting, got, err, test.want)
		}
	}
	for _, s := range []nemesis.ClockSetting{
		wall(nemesis.Bend{Rate: 1.1}), {Monotonic: nemesis.Bend{Freeze: true}},
	} {
		if _, err := faketimeScript("/d", s); !errors.Is(err, errOnlyWall) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	m := &member{dir: "/d", faketime: "/l.so"}
	got := superviseScript(m.dir, m.underFaketime([]string{"db", "--data", "/d/data"}), false)
	want := superviseScript(m.dir, []string{
		"env", "LD_PRELOAD=/l.so", "FAKETIME_TIMESTAMP_FILE=/d/faketime", "FAKETIME_NO_CACHE=1",
		"FAKETIME_DONT_FAKE_MONOTONIC=1", "db", "--data", "/d/data",
	}, false)
	if got != want {
		t.Errorf("got %s", got)
	}
}

// What a node prints of its clock, and what it must not.
func TestParseClock(t *testing.T) {
	r, err := parseClock("250 100 12.5 1000000000 3600001000001000 1000004000\n")
	want := nemesis.ClockReading{
		Start: 250, WallError: 3600001000001000 - 1000002000, Monotonic: 10 * time.Second,
		Running: 10 * time.Second,
	}
	if err != nil || r != want {
		t.Errorf("%+v, %v, want %+v", r, err, want)
	}
	for _, out := range []string{"", "1 2 3", "250 0 12.5 1 2 3", "250 100 x 1 2 3", "a b c d e f"} {
		if _, err := parseClock(out); err == nil {
			t.Errorf("%q was taken", out)
		}
	}
}
