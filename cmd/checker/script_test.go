package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/run"
)

func TestMain(m *testing.M) {
	longtest.AtOnce(8)
	testscript.Main(m, map[string]func(){"checker": main, "brittle": brittle, "testnode": node})
}

// TestScripts runs the command line as a user would; each script is a story in
// testdata/script. What stands behind [!long] stop is for those who can wait.
func TestScripts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	target, err := run.BuildTarget(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TARGET", target)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "long" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return longtest.Asked(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  cmdStatus,
			"gone":    cmdGone,
			"killrun": cmdKillRun,
			"occupy":  cmdOccupy,
			"pack":    cmdPack,
		},
	})
}
