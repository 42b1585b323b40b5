// Package mvcc keeps a database of many versions on one machine.
//
// A transaction reads from a snapshot, which is the number of the last commit
// when it began, and keeps what it writes to itself. At commit it gets the next
// number, if the rule of the mode allows it, and its writes become versions of
// that number. The sources are Berenson et al., "A critique of ANSI SQL isolation
// levels" (SIGMOD 1995), for snapshot isolation, and Cahill, Röhm and Fekete,
// "Serializable isolation for snapshot databases" (SIGMOD 2008), for the
// detection of rw-conflicts.
//
//   - SI: the first committer wins. A commit fails if a key that it writes has a
//     version newer than the snapshot.
//   - Serializable: beside that, a commit fails when it would complete two
//     rw-conflicts in a row, the mark of every cycle that SI lets through.
//   - Merge: as in git. A transaction is a branch, its snapshot the common
//     ancestor, and commit a three-way merge with the head; a key that both sides
//     have changed is a conflict.
//
// Versions have two forms behind one interface, versions.Store: a copy of the value
// for each number, or a base and a log of updates that is folded into it.
//
// The first member of the cluster is the database. The others are relays: they
// pass their clients' requests on and bring back the answers, so that the network
// has something to lose and to double. A relayed request is executed at most once:
// the database knows what it has answered, and a request is meant for one life of
// the database and refused by the next.
//
// The safety sits here, and each of the planted bugs changes a line of it:
//
//   - one snapshot for all reads, and it never changes (database.read; collect
//     drops only what no snapshot can see)
//   - first committer wins, by number (database.conflict, database.merge)
//   - visibility in the order of numbers (database.commit: one step)
//   - conflicts in and out (dangerous, in conflicts.go)
//   - one record for each transaction (encodeCommit)
//   - outcomes: a commit that may have reached the database is never said to have
//     failed (relay.expire, relay.databaseRestarted)
//
// The claim: strong snapshot isolation (SI and Merge), strict serializability
// (Serializable), through crashes. There is one database, so there is no service
// without it. Time is used for giving up, never for safety.
package mvcc
