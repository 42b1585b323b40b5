// Package decide is consensus in its smallest form: single-decree Paxos, many
// times over. Each key names an instance, in which the nodes choose one value,
// once and for ever. Clients propose a value, or ask for the one chosen.
//
// The algorithm, its three roles and the words are those of Lamport, "Paxos Made
// Simple" (SIGACT News 32, 2001). Every node plays all roles:
//
//	acceptor  promises and votes                             (acceptor.go)
//	proposer  has the acceptors asked, then asks for votes   (proposer.go)
//	learner   counts votes                                   (learner.go)
//
// A proposer takes a new ballot n and sends prepare(n). An acceptor promises to
// take part in no ballot below n, and tells the last vote that it has cast. When
// a majority has promised, the proposer asks for votes for the value of the
// greatest ballot reported or, if there was no vote, for its own. A value is
// chosen when a majority has voted for it in one ballot. All nodes may propose
// at once; there is no leader, and safety does not need one.
//
// The safety sits in few places, and each planted bug changes one:
//
//   - promise: durable before it leaves, and a vote is a promise, too: no vote
//     below it, ever. (Machine.prepare and Machine.accept in acceptor.go)
//   - vote: ballot and value are remembered apart from the promise, durably.
//     (acceptor)
//   - adoption: the value of the greatest ballot reported is taken over: if
//     something is chosen, it is that. (Machine.promised)
//   - ballots: unlike any other, because node and boot epoch are part of them.
//     (Machine.nextBallot)
//   - counting: distinct acceptors, and only answers to this ballot.
//     (Machine.promise in proposer.go, Machine.learn)
//   - "undecided": said only when a majority has promised without a vote, all of
//     it after the question was asked. (Machine.undecided)
//   - outcomes: a proposal whose value has left is never said to have failed.
//     (Machine.expire)
//
// The claim: each instance is a linearizable write-once register, as long as
// disks keep what was synced; a proposer that is left undisturbed with a
// majority decides. Time is used to try again and to give up, never for safety.
package decide
