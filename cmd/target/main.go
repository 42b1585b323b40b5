// Command target is one node of the reference cluster: a small replicated store
// that is correct, unless told to have one of the bugs it can be planted with.
//
//	target serve --protocol paxos --id n1 --peers n1=…,n2=…,n3=… --data DIR
//
// It exits with 0 when it was asked to stop, 254 for bad arguments and 255 for
// anything else, with one line on standard error that says why.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
