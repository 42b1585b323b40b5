package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/systems/driver"
)

// errDriver is the outcome of a conformance test that found something.
var errDriver = errors.New("the driver does not keep to docs/driver-protocol.md; see above")

func newDriverTest(std streams) *cobra.Command {
	t := driver.Trial{Object: "register", Patience: time.Second, Greeting: driver.HelloWithin}
	cmd := &cobra.Command{
		Use:   "driver-test [flags] CMD [ARG...]",
		Short: "Test whether a driver program keeps to the driver protocol",
		Long: `Driver-test starts a driver over and over and talks to it as a test would: with nodes that
do not listen, do not answer, hang up or talk nonsense, to see that it never says ok without
an answer, nor fail after the request was sent; and with --endpoint at a node that works.

Exit status: 0 it conforms, 1 it does not, 254 bad arguments.`,
		Example: `  checker driver-test python3 driver.py
  checker driver-test --object set --endpoint 127.0.0.1:8080 ./driver.sh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(errors.New("driver-test takes the command line of a driver"))
			}
			if t.Patience <= 0 {
				return usage(fmt.Errorf("timeout is %v: want more than 0s", t.Patience))
			}
			t.Program = driver.Program{Argv: args}
			if err := t.Program.Missing(); err != nil {
				return usage(err)
			}
			t.Key = fmt.Sprintf("trial%d", freshSeed())
			ok := t.Run(cmd.Context(), func(f driver.Finding) {
				mark := "ok  "
				if !f.OK {
					mark = "FAIL"
				}
				fmt.Fprintf(std.out, "%s  %s: %s\n", mark, f.Name, f.Detail)
			})
			if !ok {
				return exit{status: exitInvalid, err: errDriver}
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false) // what follows the command is its own
	fs.StringVar(&t.Object, "object", t.Object, "kind of object that the driver is for")
	fs.StringVar(&t.Endpoint, "endpoint", "", "host:port of a node that works, to talk to")
	fs.DurationVar(&t.Patience, "timeout", t.Patience, "how long the driver has for an operation")
	return cmd
}
