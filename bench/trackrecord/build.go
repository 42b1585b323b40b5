package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// debian is a package, and a file that shows that it is installed.
type debian struct{ name, shows string }

// program is one that is built from the module proxy, because no package has this
// version.
type program struct {
	// name is what stands for the program's path in the arguments, after "$".
	name            string
	module, version string
	// source is its main package.
	source string
}

// build builds the program in the cache, if it is not there yet, and returns its path.
func (p program) build(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, p.name+"-"+p.version)
	path := filepath.Join(dir, p.name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "building %s of %s@%s\n", p.name, p.module, p.version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	mod := fmt.Sprintf("module trackrecord/%s\n\ngo 1.26\n\nrequire %s %s\n",
		p.name, p.module, p.version)
	for name, text := range map[string]string{"go.mod": mod, "main.go": p.source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if err := command(ctx, dir, "go", "build", "-mod=mod", "-o", path, "."); err != nil {
		return "", fmt.Errorf("build %s: %w", p.name, err)
	}
	return path, nil
}

// etcdMain is the main package of etcd from 3.5 on; the module itself cannot be
// installed, because of its replacements.
const etcdMain = `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
`

func etcd(name, version string) program {
	return program{name, "go.etcd.io/etcd/server/v3", version, etcdMain}
}

// natsMain is the main package of nats-server.
const natsMain = `package main

import (
	"flag"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	flags := flag.NewFlagSet("nats-server", flag.ExitOnError)
	options, err := server.ConfigureOptions(flags, os.Args[1:],
		server.PrintServerAndExit, flags.Usage, server.PrintTLSHelpAndDie)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s, err := server.NewServer(options)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		server.PrintAndDie(err.Error())
	}
	s.WaitForShutdown()
}
`
