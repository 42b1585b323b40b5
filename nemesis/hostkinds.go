package nemesis

import (
	"math/rand/v2"
	"strconv"
)

// hostKinds are faults of the hosts of any system.
func hostKinds() []Kind {
	path := func(value, doc string) Param {
		return Param{Name: "path", Unit: UnitPath, Default: value, Doc: doc}
	}
	const file = "a file, absolute or below the data directory; a pattern means the newest " +
		"that fits, a directory the largest file in it"
	return []Kind{
		{
			Name: "cpu", Doc: "Processes get a part of one CPU (control groups).",
			Target: TargetOne, Host: PowerCPU, build: buildCPU,
			Params: []Param{{
				Name: "percent", Unit: UnitPercent, Default: "5",
				Doc: "of one CPU, for all threads of a node together",
			}},
			Proof: "the kernel counts periods in which the process had to wait",
		},
		{
			Name: "volume-full", Doc: "The volume on which the node has its data is filled by a file. " +
				"One with more than a gigabyte free is refused. Hits at most a minority.",
			Target: TargetOne, UsesProcesses: true, Host: PowerFiles, build: buildVolume,
			Params: []Param{
				path(".", "a directory of the volume, absolute or below the data directory"),
				{Name: "leave", Unit: UnitBytes, Default: "0", Doc: "what stays free"},
			},
			Proof: "the file took all that was free",
		},
		{
			Name: "file-flip", Doc: "The node is killed, a bit of a file is flipped, and it is " +
				"started. If it refuses, the bit is put back at the end.",
			Target: TargetOne, UsesProcesses: true, Host: PowerFiles, build: buildFile,
			Params: []Param{path(".", file)},
			Proof:  "the bit is another; and " + proofPID,
		},
		{
			Name: "file-truncate", Doc: "The same with the end of a file, which is cut off.",
			Target: TargetOne, UsesProcesses: true, Host: PowerFiles, build: buildFile,
			Params: []Param{
				path(".", file),
				{Name: "bytes", Unit: UnitBytes, Default: "100", Doc: "how many, at most 64 MiB"},
			},
			Proof: "the file is shorter; and " + proofPID,
		},
		{
			Name: "rollback", Doc: "Files of a node are put back to what they were some time ago, " +
				"while it is down, as an operator does with an old backup.",
			Target: TargetOne, UsesProcesses: true, Host: PowerFiles, build: buildRollback,
			Params: []Param{
				path(".", "a file or directory, absolute or below the data directory"),
				{Name: "age", Unit: UnitDuration, Default: "1s", Doc: "how old what is put back is"},
			},
			Proof: "files were put back that had changed",
		},
	}
}

// hostFamilies are those that can be planned without knowing the system's files.
func hostFamilies() []family {
	share := func(rng *rand.Rand) Params { return Params{"percent": strconv.Itoa(2 + rng.IntN(7))} }
	return []family{
		{
			name: "cpu", doc: "processes get a small part of one CPU",
			flavors: []flavor{
				{kind: "cpu", target: TargetPrimaries, params: share, telling: true},
				{kind: "cpu", target: TargetOne, params: share},
				{kind: "cpu", target: TargetMinority, params: share},
			},
		},
		{
			name: "volume", doc: "the volume of a node's data is full",
			flavors: []flavor{
				{kind: "volume-full", target: TargetPrimaries}, {kind: "volume-full", target: TargetOne},
			},
		},
		{
			name: "files", doc: "a bit of a node's largest file is flipped, or its end cut off",
			flavors: []flavor{
				{kind: "file-flip", target: TargetOne}, {kind: "file-truncate", target: TargetOne},
			},
		},
		{
			name: "rollback", doc: "a node's data is put back to what it was seconds ago",
			flavors: []flavor{{kind: "rollback", target: TargetOne}},
		},
	}
}
