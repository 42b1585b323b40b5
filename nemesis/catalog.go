package nemesis

import "slices"

// Kinds returns the catalog of faults.
func Kinds() []Kind {
	return slices.Concat(partitionKinds(), messageKinds(), processKinds(), compositeKinds(),
		clockKinds(), diskKinds(), wipeKinds(), hostKinds(), memoryKinds(), skewKinds(),
		powerKinds(), slowKinds(), adminKinds())
}

const (
	proofCut = "a probe fails on each cut link, or the links count dropped messages"
	proofPID = "the process is gone, then runs with another pid"
)

func partitionKinds() []Kind {
	nodeShapes := []Shape{
		ShapeIsolate, ShapeGroup, ShapeHalves, ShapeRing, ShapeBridge, ShapeDeaf, ShapeMute,
	}
	return []Kind{
		{
			Name:   "partition",
			Doc:    "Nodes do not hear each other. Their clients stay with them.",
			Shapes: nodeShapes, Target: TargetOne, Proof: proofCut,
			UsesNetwork: true, build: buildPartition,
		},
		{
			Name:   "one-way",
			Doc:    "A partition of one direction: a node hears nobody, or nobody hears it.",
			Shapes: []Shape{ShapeDeaf, ShapeMute}, Target: TargetOne, Proof: proofCut,
			UsesNetwork: true, build: buildPartition,
		},
		{
			Name:   "clients",
			Doc:    "Clients are cut from nodes, which still hear each other.",
			Shapes: []Shape{ShapeClients, ShapeRequests, ShapeReplies},
			Target: TargetOne, Proof: proofCut, UsesNetwork: true, build: buildPartition,
		},
		{
			Name:   "flapping",
			Doc:    "A partition that comes and goes several times a second.",
			Shapes: nodeShapes, Target: TargetOne, Proof: proofCut,
			Params: []Param{{
				Name: "period", Unit: UnitDuration, Default: "300ms",
				Doc: "mean length of a cut and of the pause after it",
			}},
			UsesNetwork: true, build: buildPartition,
		},
	}
}

// messageParams are the parameters of the rule of a link.
func messageParams(defaults Params) []Param {
	params := []Param{
		{Name: "loss", Unit: UnitShare, Doc: "messages that are lost"},
		{Name: "duplicate", Unit: UnitShare, Doc: "messages that arrive twice"},
		{Name: "reorder", Unit: UnitShare, Doc: "messages that later ones overtake"},
		{Name: "corrupt", Unit: UnitShare, Doc: "messages with a flipped bit"},
		{Name: "delay", Unit: UnitDuration, Doc: "how long every message is held back"},
		{Name: "jitter", Unit: UnitDuration, Doc: "by how much the delay varies, up and down"},
		{Name: "replay", Unit: UnitShare, Doc: "messages that arrive once more, late"},
		{Name: "replay_min", Unit: UnitDuration, Doc: "the least lateness of a replay"},
		{Name: "replay_max", Unit: UnitDuration, Doc: "the greatest lateness of a replay"},
		{Name: "hold", Unit: UnitShare, Doc: "messages that are held back by themselves"},
		{Name: "hold_min", Unit: UnitDuration, Doc: "the least time for which one is held back"},
		{Name: "hold_max", Unit: UnitDuration, Doc: "the greatest time for which one is held back"},
		{Name: "rate", Unit: UnitRate, Doc: "the greatest throughput; 0 is unlimited"},
	}
	for i, p := range params {
		params[i].Default = defaults[p.Name]
		if params[i].Default == "" {
			params[i].Default = "0"
			if p.Unit == UnitDuration {
				params[i].Default = "0s"
			}
		}
	}
	return params
}

func messageKinds() []Kind {
	kind := func(name, doc, proof string, defaults Params) Kind {
		return Kind{
			Name: name, Doc: doc, Params: messageParams(defaults), Proof: proof,
			UsesNetwork: true, build: buildMessages,
		}
	}
	return []Kind{
		kind("messages", "A mixture of everything that happens to datagrams.",
			"each effect that was to be expected in numbers is counted by the links",
			Params{
				"loss": "0.2", "duplicate": "0.1", "reorder": "0.2", "delay": "20ms",
				"jitter": "20ms", "replay": "0.05", "replay_min": "500ms", "replay_max": "3s",
			}),
		kind("loss", "Messages are lost.", "the links count lost messages",
			Params{"loss": "0.2"}),
		kind("duplicate", "Messages arrive twice.", "the links count duplicates",
			Params{"duplicate": "0.2"}),
		kind("reorder", "Messages overtake each other.", "the links count held-back messages",
			Params{"reorder": "0.3"}),
		kind("delay", "Messages take long.", "the links count delayed messages",
			Params{"delay": "50ms", "jitter": "25ms"}),
		kind("replay", "Copies of messages arrive again seconds later.",
			"the links count replayed messages",
			Params{"replay": "0.2", "replay_min": "1s", "replay_max": "5s"}),
		kind("corrupt", "Messages arrive with a flipped bit.",
			"the links count corrupted messages", Params{"corrupt": "0.05"}),
		kind("rate", "Links are slow.", "the links count messages that had to wait",
			Params{"rate": "16384"}),
		kind("hold", "Single messages are held back for seconds while the others pass.",
			"the links count messages that are held back",
			Params{"hold": "0.03", "hold_min": "2s", "hold_max": "5s"}),
	}
}

func processKinds() []Kind {
	stagger := func(d string) []Param {
		return []Param{{
			Name: "stagger", Unit: UnitDuration, Default: d,
			Doc: "greatest wait between two restarts, in random order; 0: all at once",
		}}
	}
	return []Kind{
		{
			Name: "kill", Doc: "Processes end by SIGKILL and are started again at the end.",
			Target: TargetOne, Params: stagger("0s"), Proof: proofPID,
			UsesProcesses: true, build: buildKill,
		},
		{
			Name:   "kill-all",
			Doc:    "All processes are killed at once and started again in random order.",
			Target: TargetAll, Params: stagger("300ms"), Proof: proofPID,
			UsesProcesses: true, build: buildKill,
		},
		{
			Name: "pause", Doc: "Processes are stopped (SIGSTOP) and continued at the end.",
			Target: TargetOne, Proof: "the process was seen in state stopped, and again at the end",
			UsesProcesses: true, build: buildPause,
		},
		{
			Name: "restart-storm", Doc: "Processes are killed and started over and over.",
			Target: TargetSome, Proof: "at least one process runs with another pid",
			Params: []Param{{
				Name: "every", Unit: UnitDuration, Default: "500ms",
				Doc: "mean time between two kills",
			}},
			UsesProcesses: true, build: buildStorm,
		},
		{
			Name:   "rolling-restart",
			Doc:    "Processes are killed and started again one after the other.",
			Target: TargetAll, Proof: "at least one process runs with another pid",
			Params: []Param{{
				Name: "every", Unit: UnitDuration, Default: "400ms",
				Doc: "time between a start and the next kill, and the longest time down",
			}},
			UsesProcesses: true, build: buildRolling,
		},
	}
}

func compositeKinds() []Kind {
	return []Kind{
		{
			Name: "echo",
			Doc: "The target is cut from its peers, while late copies of what both said before " +
				"still arrive.",
			Target: TargetPrimaries, Proof: "the links count lost messages, and copies",
			Params: []Param{
				{Name: "after", Unit: UnitDuration, Default: "2s", Doc: "time before the cut"},
				{Name: "replay", Unit: UnitShare, Default: "0.2", Doc: "messages that arrive once more"},
				{
					Name: "replay_min", Unit: UnitDuration, Default: "500ms",
					Doc: "the least lateness of a copy",
				},
				{
					Name: "replay_max", Unit: UnitDuration, Default: "5s",
					Doc: "the greatest lateness of a copy",
				},
				{
					Name: "delay", Unit: UnitDuration, Default: "0s",
					Doc: "how long every message is held back before the cut",
				},
				{
					Name: "jitter", Unit: UnitDuration, Default: "0s",
					Doc: "by how much the delay varies, up and down",
				},
			},
			UsesNetwork: true, build: buildEcho,
		},
		{
			Name: "kill-seq",
			Doc: "The target is killed, then its successor: the first node that leads " +
				"after it, or any node when none shows in time.",
			Target: TargetPrimaries, Proof: proofPID,
			Params: []Param{{
				Name: "gap", Unit: UnitDuration, Default: "1s",
				Doc: "longest wait for the successor",
			}},
			UsesProcesses: true, build: buildKillSeq,
		},
		{
			Name:   "isolate-kill",
			Doc:    "The target is cut from its peers, then killed while it is cut off.",
			Target: TargetPrimaries, Proof: proofCut + "; and " + proofPID,
			Params: []Param{{
				Name: "after", Unit: UnitDuration, Default: "1s",
				Doc: "time between the cut and the kill",
			}},
			UsesNetwork: true, UsesProcesses: true, build: buildIsolateKill,
		},
		{
			Name: "isolate-restart",
			Doc: "The target is cut from its peers; then all others are killed and started at " +
				"once, while the target goes on with what they had promised it.",
			Target: TargetPrimaries, Proof: proofCut + "; and " + proofPID,
			Params: []Param{{
				Name: "after", Unit: UnitDuration, Default: "100ms",
				Doc: "time between the cut and the kills",
			}},
			UsesNetwork: true, UsesProcesses: true, build: buildIsolateRestart,
		},
	}
}
