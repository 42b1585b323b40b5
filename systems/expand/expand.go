// Package expand fills in the templates of a system's declaration: Go's text/template
// with go-sockaddr's functions, so that `{{ GetPrivateIP }}` means what it means to the
// programs that people know it from, and a few of its own.
package expand

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"text/template"

	sockaddr "github.com/hashicorp/go-sockaddr/template"
)

// Member is a node as the others see it.
type Member struct {
	Name string
	// Index counts from 0, Number from 1.
	Index, Number int
	// Address is its host, Port where clients find it, PeerPort where nodes do.
	Address  string
	Port     int
	PeerPort int
}

// Endpoint is where clients find the node, host:port.
func (m Member) Endpoint() string { return net.JoinHostPort(m.Address, strconv.Itoa(m.Port)) }

// PeerEndpoint is where nodes find the node, host:port.
func (m Member) PeerEndpoint() string {
	return net.JoinHostPort(m.Address, strconv.Itoa(m.PeerPort))
}

// Node is what a command on a node is told.
type Node struct {
	Member
	// Bind and PeerBind are the host:port to listen at.
	Bind, PeerBind string
	// Data is the node's own directory, Files that of the declaration's files.
	Data, Files string
	// Nodes are all nodes of the cluster in their order, Peers all but this one.
	Nodes, Peers []Member
	// Cluster names this run's cluster, as no other run does.
	Cluster string
	Seed    uint64
}

// Target is what a question to one node is told, such as who leads.
type Target struct {
	Endpoint, Address string
	Port              int
	// To is the node that an order of an operator is about.
	To string
}

// NewTarget takes a host:port apart.
func NewTarget(endpoint, to string) Target {
	e := Target{Endpoint: endpoint, Address: endpoint, To: to}
	if host, port, err := net.SplitHostPort(endpoint); err == nil {
		e.Address = host
		e.Port, _ = strconv.Atoi(port) // a name has none
	}
	return e
}

// errElsewhere is what go-sockaddr's questions answer when the node is another machine.
var errElsewhere = errors.New("go-sockaddr would ask the machine of the checker, and the node " +
	"has addresses of its own: write {{ .Address }}")

// Funcs are the functions of all templates. Here says that nodes have the addresses of
// this machine; else go-sockaddr's functions that ask it for them fail.
func Funcs(here bool) template.FuncMap {
	all := template.FuncMap{}
	for _, m := range []template.FuncMap{
		sockaddr.SourceFuncs, sockaddr.SortFuncs, sockaddr.FilterFuncs, sockaddr.HelperFuncs,
	} {
		for name, f := range m {
			all[name] = f
			if !here && strings.HasPrefix(name, "Get") {
				all[name] = func(...any) (string, error) { return "", errElsewhere }
			}
		}
	}
	all["quote"], all["json"], all["each"] = Quote, asJSON, each
	all["base64"] = func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return all
}

// Parse parses a template. Whatever it names has to be there.
func Parse(text string, here bool) (*template.Template, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(Funcs(here)).Parse(text)
	if err != nil {
		return nil, plain(err)
	}
	return t, nil
}

// Text fills in a template.
func Text(text string, data any, here bool) (string, error) {
	t, err := Parse(text, here)
	if err != nil {
		return "", err
	}
	return Execute(t, data)
}

// Execute fills in a template that has been parsed.
func Execute(t *template.Template, data any) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", plain(err)
	}
	return b.String(), nil
}

// plain takes the words of text/template for itself out of its messages.
func plain(err error) error {
	text := err.Error()
	if i := strings.Index(text, ">: "); i >= 0 && errors.As(err, &template.ExecError{}) {
		text, _, _ = strings.Cut(text[i+len(">: "):], " in type ")
		return errors.New(text)
	}
	if parts := strings.SplitN(text, ": ", 3); len(parts) == 3 && parts[0] == "template" {
		return errors.New(parts[2])
	}
	return err
}

// Quote quotes a word for a POSIX shell.
func Quote(word any) string {
	return "'" + strings.ReplaceAll(fmt.Sprint(word), "'", `'\''`) + "'"
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// each writes a text for each node, with what separates them: in it stand $name, $index,
// $number, $address, $port, $peer_port, $endpoint and $peer.
func each(pattern, separator string, members []Member) (string, error) {
	var words []string
	var unknown error
	for _, m := range members {
		words = append(words, os.Expand(pattern, func(name string) string {
			switch name {
			case "name":
				return m.Name
			case "index":
				return strconv.Itoa(m.Index)
			case "number":
				return strconv.Itoa(m.Number)
			case "address":
				return m.Address
			case "port":
				return strconv.Itoa(m.Port)
			case "peer_port":
				return strconv.Itoa(m.PeerPort)
			case "endpoint":
				return m.Endpoint()
			case "peer":
				return m.PeerEndpoint()
			default:
				unknown = fmt.Errorf("each: there is no $%s: there is $name, $index, $number, "+
					"$address, $port, $peer_port, $endpoint and $peer", name)
				return ""
			}
		}))
	}
	return strings.Join(words, separator), unknown
}

// Sample is a node to try templates on.
func Sample() Node {
	n := Node{
		Bind: "127.0.0.1:8000", PeerBind: "127.0.0.1:9000", Data: "/data", Files: "/files",
		Cluster: "cluster", Seed: 1,
	}
	for i := range 3 {
		n.Nodes = append(n.Nodes, Member{
			Name: "n" + strconv.Itoa(i+1), Index: i, Number: i + 1, Address: "127.0.0.1",
			Port: 8000 + i, PeerPort: 9000 + i,
		})
	}
	n.Member, n.Peers = n.Nodes[0], n.Nodes[1:]
	return n
}
