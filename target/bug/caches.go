package bug

// Bugs of registers that nodes keep copies of.
const (
	CacheWriteNoWait              ID = "cache-write-no-wait"
	CacheInvalidateOvertakesGrant ID = "cache-invalidate-overtakes-grant"
	CacheServerRestartNoWait      ID = "cache-server-restart-no-wait"
	LeaseChainedPromiseLost       ID = "lease-chained-promise-lost"
)

func caches() []Info {
	only := []string{"cache"}
	return []Info{
		{
			ID: CacheWriteNoWait, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a write waits until every copy was dropped or its lease has run out",
			Wrong:   "it tells the holders of copies and does not wait",
		},
		{
			ID: CacheInvalidateOvertakesGrant, Protocols: only, Class: Medium,
			Correct: "a node remembers what was invalidated and refuses older grants",
			Wrong:   "it answers and forgets: a late grant brings the old value back",
		},
		{
			ID: CacheServerRestartNoWait, Protocols: only, Class: Medium,
			Correct: "a new server writes nothing until the leases of earlier ones have run out",
			Wrong:   "it writes at once, and does not know who holds copies",
		},
		{
			ID: LeaseChainedPromiseLost, Protocols: only, Class: Needle,
			Correct: "what a server has promised passes along the record, from each server to the next",
			Wrong:   "one that was handed the place keeps it in memory, and the next knows nothing",
		},
	}
}
