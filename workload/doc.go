// Package workload decides what the clients of a test do, and makes them do it.
//
// A Generator is an immutable value: Next says what a free thread should do now
// and returns the generator that remembers it; Update tells it what was invoked
// and how that ended. Because both are pure functions, a generator can be
// simulated in virtual time (Simulate), replayed from its seed, and asked twice
// without harm. Combinators, with Jepsen's names, build large generators from
// small ones.
//
// There is no scheduler thread. A worker that is free takes one short lock, asks
// for its next operation and runs it outside the lock; it stamps the times itself,
// just before the call and just after the return, so a busy harness does not widen
// the intervals that a checker reasons about.
//
// A Workload joins a generator, the final reads, the checkers that judge the
// history, and the floors below which a run proves nothing. All lists them.
package workload
