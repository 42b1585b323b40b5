package systems

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/etcd"
	"github.com/ordeal-dev/ordeal/systems/mariadb"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/nats"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/systems/postgres"
	"github.com/ordeal-dev/ordeal/systems/redis"
	"github.com/ordeal-dev/ordeal/systems/zookeeper"
	"github.com/ordeal-dev/ordeal/workload"
)

// Natives lists the systems that the checker knows by name, beside the reference cluster.
func Natives() []native.System {
	return []native.System{
		etcd.System(), mariadb.System(), nats.System(), postgres.System(), redis.System(),
		zookeeper.System(),
	}
}

// Native returns the one of that name.
func Native(name string) (native.System, bool) { return nativeOf(Natives(), name) }

func nativeOf(all []native.System, name string) (native.System, bool) {
	i := slices.IndexFunc(all, func(s native.System) bool { return s.Name == name })
	if i < 0 {
		return native.System{}, false
	}
	return all[i], true
}

// newNative makes a system of its declaration and its client, both as the settings say.
func newNative(s native.System, chosen map[string]string) (System, error) {
	values, err := s.Choose(chosen)
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", s.Name, err)
	}
	text, err := s.Declare(values)
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", s.Name, err)
	}
	client, err := s.Client(values)
	if err != nil {
		return nil, fmt.Errorf("system %s: client: %w", s.Name, err)
	}
	d, err := declare.LoadNative(s.Name, []byte(text), client)
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", s.Name, err)
	}
	return declared{d}, nil
}

// noSettings refuses settings of a system that has none.
func noSettings(opts Options) error {
	if len(opts.Settings) == 0 {
		return nil
	}
	var have []string
	for _, s := range Natives() {
		have = append(have, s.Name)
	}
	have = append(have, Maelstrom)
	return fmt.Errorf("system %s: %w: it has none; those that have are %s", opts.System,
		native.ErrSettings, strings.Join(have, ", "))
}

// guarded holds what a native client answers against what it was asked, as is done with
// those of users: a mistake of the client must not look like one of the system.
type guarded struct {
	native.Session
	object string
}

func openNative(
	ctx context.Context, c native.Client, endpoints []string, object string,
) (workload.Client, error) {
	s, err := c.Open(ctx, endpoints, object)
	if err != nil {
		return nil, err // not a Client around nil
	}
	return guarded{s, object}, nil
}

// Invoke implements workload.Client. What cannot change anything has failed for certain,
// whatever became of it.
func (g guarded) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	got, err := g.Session.Invoke(ctx, op)
	if err != nil {
		if !operation.Changes(op) {
			err = history.Definite(err)
		}
		return op, err
	}
	return operation.Result(g.object, op, got.Value)
}
