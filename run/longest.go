package run

import "time"

// Longest is how long a run takes on the clock when each of its phases takes all the time
// that it may: one that takes longer hangs. How long a simulation takes depends on the
// machine: it is taken for no slower than real time.
func (c Config) Longest() time.Duration {
	const reports = time.Minute
	rest := c.CheckTime + tearDownTime + reports
	if w, err := wayNamed(c.Cluster); err == nil && w.virtual {
		return max(time.Minute, c.TimeLimit) + rest
	}
	return 2*c.SetupTime + c.driveTime() + rest
}
