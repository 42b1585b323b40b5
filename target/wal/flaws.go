package wal

import "github.com/ordeal-dev/ordeal/target/bug"

// Planted returns the options with the flaws that the planted bugs ask for.
func (o Options) Planted(bugs bug.Set) Options {
	if bugs.Has(bug.TruncateMiddle) {
		o.CutCorrupt, o.Salvage = true, false
	}
	o.Flaws = Flaws{
		NoChecksums: bugs.Has(bug.TornReplayed),
		RetrySync:   bugs.Has(bug.FsyncRetryOK),
		IgnoreFull:  bugs.Has(bug.FullAck),
		CutFirst:    bugs.Has(bug.CompactFirst),
	}
	return o
}
