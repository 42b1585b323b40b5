package nemesis

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// families returns what users can choose. Those with a weight are part of "all".
func families() []family {
	return slices.Concat(broadFamilies(), clockFamilies(), diskFamilies(), wipeFamilies(),
		hostFamilies(), memoryFamilies(), skewFamilies(), powerFamilies(), slowFamilies(),
		adminFamilies(), narrowFamilies())
}

func broadFamilies() []family {
	return []family{
		{
			name: "partition", weight: 2, core: true, flavors: partitionFlavors(),
			doc: "nodes do not hear each other: all shapes, half of them aimed at leaders",
		},
		{
			name: "messages", weight: 2, core: true,
			doc: "messages between all nodes are lost, doubled, reordered, late, corrupted, " +
				"or held back one by one for seconds; or all of a leader's come seconds late; or " +
				"a leader is cut off while copies of old messages still arrive",
			flavors: []flavor{
				{kind: "messages", params: mixedMessages, weight: 3},
				{kind: "messages", params: lossyMessages},
				{kind: "messages", params: lateMessages, long: true},
				{kind: "messages", params: garbledMessages},
				{kind: "messages", params: heldMessages},
				{kind: "messages", params: scatteredMessages},
				{
					kind: "messages", target: TargetPrimaries, params: laggingMessages, telling: true,
					sequels: cutOff(),
				},
				{kind: "messages", target: TargetOne, params: laggingMessages},
				{
					kind: "echo", target: TargetPrimaries, params: echoes, long: true, telling: true,
					weight: 2,
				},
				{kind: "echo", target: TargetMinority, params: echoes, long: true},
			},
		},
		{
			name: "kill", weight: 2, core: true, flavors: killFlavors(),
			doc: "SIGKILL: one, some, all, leaders and their successors; restarts soon or late, " +
				"or in random order seconds apart",
		},
		{
			name: "pause", weight: 1, core: true,
			doc: "SIGSTOP: leaders, one, some, all",
			flavors: []flavor{
				{kind: "pause", target: TargetPrimaries, weight: 2, telling: true},
				{kind: "pause", target: TargetPrimaries, long: true, telling: true},
				{kind: "pause", target: TargetOne},
				{kind: "pause", target: TargetMinority},
				{kind: "pause", target: TargetMajority},
				{kind: "pause", target: TargetAll},
			},
		},
		{
			name: "restart", weight: 1,
			doc: "processes are restarted, one after the other or wildly",
			flavors: []flavor{
				{kind: "rolling-restart", target: TargetAll},
				{kind: "restart-storm", target: TargetSome},
				{kind: "restart-storm", target: TargetPrimaries},
			},
		},
		{
			name: "clients", weight: 1,
			doc: "clients are cut from nodes, both ways or one",
			flavors: []flavor{
				{kind: "clients", shape: ShapeClients, target: TargetOne},
				{kind: "clients", shape: ShapeClients, target: TargetPrimaries},
				{kind: "clients", shape: ShapeRequests, target: TargetOne},
				{kind: "clients", shape: ShapeReplies, target: TargetPrimaries},
				{kind: "clients", shape: ShapeReplies, target: TargetOne},
			},
		},
	}
}

// partitionFlavors aims at leaders with 5 of 12 cards; the leader that is deaf comes
// more often than its card, because the planner wants one in each minute.
func partitionFlavors() []flavor {
	return []flavor{
		{
			kind: "partition", shape: ShapeIsolate, target: TargetPrimaries, weight: 2, telling: true,
			sequels: shift(),
		},
		{kind: "partition", shape: ShapeDeaf, target: TargetPrimaries, long: true, telling: true},
		{kind: "partition", shape: ShapeMute, target: TargetPrimaries, telling: true},
		{kind: "flapping", shape: ShapeIsolate, target: TargetPrimaries, telling: true},
		{
			kind: "partition", shape: ShapeIsolate, target: TargetOne,
			sequels: append(lateness(), shift()...),
		},
		{
			kind: "partition", shape: ShapeGroup, target: TargetMinority, weight: 2,
			sequels: shift(),
		},
		{kind: "partition", shape: ShapeHalves},
		{kind: "partition", shape: ShapeRing},
		{kind: "partition", shape: ShapeBridge},
		{kind: "partition", shape: ShapeMute, target: TargetOne},
	}
}

// restartApart makes the waits between two restarts seconds long, so that those that
// come first go on by themselves, with what they happen to know.
func restartApart(rng *rand.Rand) Params {
	return Params{"stagger": millis(rng, 1500, int(staggerMost.Milliseconds()))}
}

// killFlavors takes a majority or all with 4 of 12 cards, beside the regular ones: what a
// minority forgot the others still know, so that only these show data that was never
// made durable.
func killFlavors() []flavor {
	return []flavor{
		{kind: "kill", target: TargetOne},
		{kind: "kill", target: TargetPrimaries, quick: true},
		{kind: "kill", target: TargetPrimaries},
		{kind: "kill", target: TargetMinority, quick: true},
		{kind: "kill", target: TargetMajority, weight: 2, telling: true},
		{kind: "kill-all", target: TargetAll, weight: 1, telling: true},
		{kind: "kill-all", target: TargetAll, params: restartApart, apart: true},
		{kind: "kill-seq", target: TargetPrimaries},
		{kind: "isolate-kill", target: TargetPrimaries},
		{
			kind: "isolate-restart", target: TargetPrimaries, params: restartSoon, telling: true,
			weight: 2,
		},
	}
}

// restartSoon lets the others restart, and elect, while what they promised still holds.
func restartSoon(rng *rand.Rand) Params { return Params{"after": millis(rng, 0, 300)} }

// narrowFamilies are single faults, chosen by name only.
func narrowFamilies() []family {
	both := func(name string, v flavor) []flavor {
		one, primaries := v, v
		one.kind, one.target = name, TargetOne
		primaries.kind, primaries.target = name, TargetPrimaries
		return []flavor{one, primaries}
	}
	out := []family{
		{
			name: "one-way", doc: "a node hears nobody, or nobody hears it",
			flavors: slices.Concat(
				both("one-way", flavor{shape: ShapeDeaf, long: true}),
				both("one-way", flavor{shape: ShapeMute})),
		},
		{
			name: "flapping", doc: "a node is cut off and back several times a second",
			flavors: both("flapping", flavor{shape: ShapeIsolate}),
		},
		{
			name: "kill-all", doc: "all processes are killed at once",
			flavors: []flavor{{kind: "kill-all", target: TargetAll}},
		},
		{
			name: "restart-order",
			doc:  "all processes are killed at once and come back in random order, seconds apart",
			flavors: []flavor{
				{kind: "kill-all", target: TargetAll, params: restartApart, apart: true},
			},
		},
		{
			name: "kill-seq", doc: "a leader is killed, then its successor",
			flavors: []flavor{{kind: "kill-seq", target: TargetPrimaries}},
		},
		{
			name: "isolate-kill", doc: "a leader is cut off, then killed",
			flavors: []flavor{{kind: "isolate-kill", target: TargetPrimaries}},
		},
		{
			name: "isolate-restart", doc: "a leader is cut off, then all others restart at once",
			flavors: []flavor{
				{kind: "isolate-restart", target: TargetPrimaries, params: restartSoon},
			},
		},
		{
			name: "lag", doc: "all messages of a node are late by seconds, out of order, some twice",
			flavors: both("messages", flavor{params: laggingMessages}),
		},
		{
			name: "echo", doc: "a node is cut off while copies of old messages still arrive",
			flavors: both("echo", flavor{params: echoes, long: true}),
		},
		{
			name: "restart-storm", doc: "processes are killed and started over and over",
			flavors: []flavor{{kind: "restart-storm", target: TargetSome}},
		},
		{
			name: "rolling-restart", doc: "processes are restarted one after the other",
			flavors: []flavor{{kind: "rolling-restart", target: TargetAll}},
		},
	}
	for _, m := range singleMessages() {
		out = append(out, family{
			name: m.name, doc: m.doc, flavors: []flavor{{kind: m.name, params: m.params}},
		})
	}
	return out
}

// singleMessage is one effect on messages, by itself.
type singleMessage struct {
	name, doc string
	params    func(*rand.Rand) Params
}

func singleMessages() []singleMessage {
	share := func(name string, a, b int) func(*rand.Rand) Params {
		return func(rng *rand.Rand) Params { return Params{name: percent(rng, a, b)} }
	}
	return []singleMessage{
		{"loss", "messages are lost", share("loss", 10, 40)},
		{"duplicate", "messages arrive twice", share("duplicate", 10, 40)},
		{"reorder", "messages overtake each other", share("reorder", 15, 50)},
		{"corrupt", "messages arrive with a flipped bit", share("corrupt", 2, 15)},
		{"replay", "copies of messages arrive seconds later", share("replay", 10, 40)},
		{"delay", "messages take long", func(rng *rand.Rand) Params {
			return Params{"delay": millis(rng, 20, 150), "jitter": millis(rng, 10, 100)}
		}},
		{"hold", "single messages are held back for seconds", heldAlone},
		{"rate", "links are slow", func(rng *rand.Rand) Params {
			return Params{"rate": strconv.Itoa(4096 << rng.IntN(4))}
		}},
	}
}

// noMessages turns off what "messages" does by default.
func noMessages() Params {
	p := Params{}
	for _, k := range messageKinds() {
		for _, param := range k.Params {
			switch {
			case k.Name != "messages" || param.Default == "0" || param.Default == "0s":
			case param.Unit == UnitDuration:
				p[param.Name] = "0s"
			default:
				p[param.Name] = "0"
			}
		}
	}
	return p
}

// mixedMessages loses 10 to 40 % and does everything else, too.
func mixedMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 10, 40)
	p["duplicate"] = percent(rng, 5, 30)
	p["reorder"] = percent(rng, 10, 40)
	p["delay"], p["jitter"] = millis(rng, 5, 60), millis(rng, 5, 60)
	p["replay"] = percent(rng, 2, 15)
	p["replay_min"], p["replay_max"] = millis(rng, 200, 1000), millis(rng, 1500, 5000)
	return p
}

// lossyMessages only loses.
func lossyMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 15, 40)
	return p
}

// lateMessages delays all and replays many seconds later.
func lateMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 10, 25)
	p["delay"], p["jitter"] = millis(rng, 20, 120), millis(rng, 20, 120)
	p["replay"] = percent(rng, 10, 40)
	p["replay_min"], p["replay_max"] = millis(rng, 500, 2000), millis(rng, 3000, 8000)
	return p
}

// garbledMessages doubles, reorders and corrupts.
func garbledMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 10, 25)
	p["duplicate"] = percent(rng, 20, 50)
	p["reorder"] = percent(rng, 20, 50)
	p["jitter"] = millis(rng, 10, 80)
	p["corrupt"] = percent(rng, 1, 8)
	return p
}

// heldAlone holds a few messages back and leaves all others alone.
func heldAlone(rng *rand.Rand) Params {
	return Params{
		"hold": percent(rng, 2, 10), "hold_min": millis(rng, 1000, 2500),
		"hold_max": millis(rng, 3000, 6000),
	}
}

// heldMessages does the same as a mixture, with a little loss.
func heldMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 10, 15)
	maps.Copy(p, heldAlone(rng))
	return p
}

// scatteredMessages scatters a good part of all messages over seconds: some rounds of a
// protocol come through at once, others in pieces, long after those who began them have
// given up.
func scatteredMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["hold"] = percent(rng, 20, 29)
	p["hold_min"], p["hold_max"] = millis(rng, 50, 500), millis(rng, 1000, 4000)
	p["duplicate"] = percent(rng, 10, 30)
	return p
}

// laggingMessages is a partition of which nothing is lost: every message of the target's
// comes, seconds late, out of order, many twice. What a cut would have made the others
// forget arrives when they have gone on.
func laggingMessages(rng *rand.Rand) Params {
	p := noMessages()
	late := magnitude(rng, 60, 2200)
	p["delay"], p["jitter"] = millis(rng, late, late), millis(rng, late*2/3, late)
	p["duplicate"] = percent(rng, 20, 50)
	return p
}

// magnitude draws a number between a and b, as often from one to two as from ten to twenty:
// nobody knows which times matter to a system.
func magnitude(rng *rand.Rand, a, b int) int {
	return int(float64(a) * math.Pow(float64(b)/float64(a), rng.Float64()))
}

// echoes are copies that come late enough for what they say to be no longer true.
func echoes(rng *rand.Rand) Params {
	p := Params{
		"after": millis(rng, 1500, 4000), "replay": percent(rng, 5, 40),
		"replay_min": millis(rng, 300, 1500), "replay_max": millis(rng, 2500, 6000),
	}
	if rng.IntN(2) == 0 {
		late := 200 + rng.IntN(1000)
		p["delay"], p["jitter"] = millis(rng, late, late), millis(rng, 0, late)
	}
	return p
}
