// Package native is what a system that the checker knows by name consists of: a
// declaration as a user would write it (see package declare), with settings to be chosen,
// and a client in Go by the library that the system's users like.
//
// The systems themselves are packages beside this one.
package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/ordeal-dev/ordeal/history"
)

// Session is one logical client, used by one goroutine at a time. What Invoke returns is
// what workload.Client demands: it performs the operation once, never retries, and an error
// means unknown unless history.Definite wraps it.
type Session interface {
	Invoke(ctx context.Context, op history.Event) (history.Event, error)
	Close() error
}

// Client makes sessions. Its methods are safe for concurrent use. It holds nothing that would
// have to be closed, and is cheap to make: that is done to look at a system, too.
type Client interface {
	// Has reports whether there is an operation on this kind of object.
	Has(object string, f history.F) bool
	// Open makes a session that speaks to the first of the endpoints, host:port, and may
	// speak to the others. Broken settings, not an unreachable node, make it fail.
	Open(ctx context.Context, endpoints []string, object string) (Session, error)
}

// Informant is a Client that can ask a node who leads, where the declaration says nothing of
// a status.
type Informant interface {
	// Status asks the node at endpoint, and fails unless it answers.
	Status(ctx context.Context, endpoint string) (Status, error)
}

// Status is what a node says about itself and its cluster.
type Status struct {
	Leads bool
	// Members are the names of nodes, nil where the system does not tell.
	Members []string
}

// Prober is a Client that knows better than by a read when a node is healthy: when the cluster
// has recovered, as far as it can be seen from there.
type Prober interface {
	// Probe changes nothing that a workload uses. It fails, and says why, as long as the node
	// at endpoint does not serve, or the last words about what is kept are not spoken yet.
	Probe(ctx context.Context, endpoint string) error
}

// Operator is a Client that can tell a cluster to change itself, where the declaration has
// no orders. It has to be an Informant, because an order is proved by the status after it.
type Operator interface {
	Informant
	// Orders lists those that it takes, of "transfer", "add-member" and "remove-member";
	// the latter two only together.
	Orders() []string
	// Order gives the node at endpoint, which leads, an order that is about the node named
	// to. After any error that history.Definite does not wrap it may be done all the same.
	Order(ctx context.Context, endpoint, order, to string) error
}

// Setting is something that a user can choose about a system: reads=serializable.
type Setting struct {
	Name, Default string
	// Values are all that there are; nil allows any text.
	Values []string
	// Program says that it is a program: a name in PATH, or a path, which is seen from where
	// the checker runs.
	Program bool
	// Doc is one sentence.
	Doc string
}

// Values are the settings by their names, all of them.
type Values map[string]string

// System is a system that the checker knows by name.
type System struct {
	Name string
	// Doc is one sentence.
	Doc      string
	Settings []Setting
	// Declare returns the declaration in YAML, without its client; claims follow the
	// settings. See Fill.
	Declare func(Values) (string, error)
	// Client returns the client of all sessions.
	Client func(Values) (Client, error)
}

// ErrSettings is returned for settings that a system does not have.
var ErrSettings = errors.New("settings")

// Choose completes chosen settings by the defaults. It fails with ErrSettings and names
// all that is wrong at once.
func (s System) Choose(chosen map[string]string) (Values, error) {
	all := Values{}
	var problems []string
	for _, setting := range s.Settings {
		value, ok := chosen[setting.Name]
		if !ok {
			value = setting.Default
		} else if setting.Values != nil && !slices.Contains(setting.Values, value) {
			problems = append(problems, fmt.Sprintf("%s=%s: there is %s", setting.Name, value,
				strings.Join(setting.Values, ", ")))
		}
		all[setting.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if _, ok := all[name]; !ok {
			problems = append(problems, fmt.Sprintf("%s has no setting %q: there is %s", s.Name, name,
				strings.Join(s.names(), ", ")))
		}
	}
	if problems != nil {
		return nil, fmt.Errorf("%w: %s", ErrSettings, strings.Join(problems, "; "))
	}
	return all, nil
}

func (s System) names() []string {
	var names []string
	for _, setting := range s.Settings {
		names = append(names, setting.Name)
	}
	if names == nil {
		return []string{"none"}
	}
	return names
}

// Placed returns chosen settings with the paths of programs made absolute, because nodes run
// elsewhere.
func (s System) Placed(chosen map[string]string) (map[string]string, error) {
	placed := maps.Clone(chosen)
	for _, setting := range s.Settings {
		value := placed[setting.Name]
		if !setting.Program || !strings.ContainsRune(value, filepath.Separator) {
			continue
		}
		path, err := filepath.Abs(value)
		if err != nil {
			return nil, fmt.Errorf("%w: %s=%s: %w", ErrSettings, setting.Name, value, err)
		}
		placed[setting.Name] = path
	}
	return placed, nil
}

// Fill puts settings into a declaration. Its marks are [[ ]], because {{ }} are those that
// are filled for each node.
func Fill(declaration string, values Values) (string, error) {
	t, err := template.New("declaration").Delims("[[", "]]").Option("missingkey=error").
		Parse(declaration)
	if err != nil {
		return "", fmt.Errorf("declaration: %w", err)
	}
	var out strings.Builder
	if err := t.Execute(&out, values); err != nil {
		return "", fmt.Errorf("declaration: %w", err)
	}
	return out.String(), nil
}
