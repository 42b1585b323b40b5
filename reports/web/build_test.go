package web

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

var update = flag.Bool("update", false, "build dist again")

// lock is what package-lock.json says of the packages of npm.
type lock struct {
	Packages map[string]struct {
		Version   string `json:"version"`
		Integrity string `json:"integrity"`
	} `json:"packages"`
}

// uplot returns the files of uPlot out of the file that npm serves, which has to have
// the hash of the lock file.
func uplot(t *testing.T) map[string]string {
	t.Helper()
	var l lock
	if err := json.Unmarshal(read(t, "package-lock.json"), &l); err != nil {
		t.Fatal(err)
	}
	want := l.Packages["node_modules/uplot"]
	packed := read(t, filepath.Join("third_party", "uplot-"+want.Version+".tgz"))
	sum := sha512.Sum512(packed)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != want.Integrity {
		t.Fatalf("uplot %s has hash %s, package-lock.json says %s", want.Version, got, want.Integrity)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "package/")] = string(b)
	}
	return files
}

// fromNPM is a plugin that finds "uplot" in the packed file.
func fromNPM(files map[string]string) api.Plugin {
	paths := map[string]string{
		"uplot":                    "dist/uPlot.esm.js",
		"uplot/dist/uPlot.min.css": "dist/uPlot.min.css",
	}
	return api.Plugin{Name: "npm", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: "^uplot"},
			func(a api.OnResolveArgs) (api.OnResolveResult, error) {
				path, ok := paths[a.Path]
				if !ok {
					return api.OnResolveResult{}, fmt.Errorf("%s is not known", a.Path)
				}
				return api.OnResolveResult{Path: path, Namespace: "uplot"}, nil
			})
		b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "uplot"},
			func(a api.OnLoadArgs) (api.OnLoadResult, error) {
				text, loader := files[a.Path], api.LoaderJS
				if text == "" {
					return api.OnLoadResult{}, fmt.Errorf("uplot has no %s", a.Path)
				}
				if strings.HasSuffix(a.Path, ".css") {
					loader = api.LoaderCSS
				}
				return api.OnLoadResult{Contents: &text, Loader: loader}, nil
			})
	}}
}

// build returns the files of dist, made from src and uPlot.
func build(t *testing.T) map[string]string {
	t.Helper()
	files := uplot(t)
	license := "/*! uPlot, https://github.com/leeoniya/uPlot\n\n" +
		strings.TrimSpace(files["LICENSE"]) + "\n*/"
	result := api.Build(api.BuildOptions{
		EntryPoints:       []string{"src/report.ts"},
		Outfile:           "dist/report.js",
		Bundle:            true,
		Format:            api.FormatIIFE,
		Target:            api.ES2022,
		Charset:           api.CharsetASCII,
		LegalComments:     api.LegalCommentsNone,
		Banner:            map[string]string{"js": license},
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		Plugins:           []api.Plugin{fromNPM(files)},
		LogLevel:          api.LogLevelSilent,
	})
	for _, m := range append(result.Errors, result.Warnings...) {
		where := ""
		if m.Location != nil {
			where = fmt.Sprintf("%s:%d: ", m.Location.File, m.Location.Line)
		}
		t.Errorf("%s%s", where, m.Text)
	}
	built := map[string]string{}
	for _, f := range result.OutputFiles {
		built[filepath.Base(f.Path)] = string(f.Contents)
	}
	return built
}

// TestBuilt: what is checked in is what the source gives.
func TestBuilt(t *testing.T) {
	built := build(t)
	for _, name := range []string{"report.js", "report.css"} {
		path := filepath.Join("dist", name)
		if *update && built[name] != "" {
			if err := os.WriteFile(path, []byte(built[name]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(read(t, path)); got != built[name] || got == "" {
			t.Errorf("%s, %d bytes, is not what its source gives, %d bytes: run go generate",
				path, len(got), len(built[name]))
		}
	}
	if !strings.Contains(built["report.js"], "Permission is hereby granted") {
		t.Error("the license of uPlot is missing")
	}
}

// sinks are where text becomes code or markup, and what reaches the network.
var sinks = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|` +
	`\beval\b|new Function|DOMParser|createContextualFragment|setHTML|javascript:|` +
	`\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\(|setAttribute\("on`)

// TestNoSinks: text from the system under test stays text. The one page that is shown as
// a page, Porcupine's, goes into a sandboxed frame.
func TestNoSinks(t *testing.T) {
	sources, err := filepath.Glob("src/*.ts")
	if err != nil || len(sources) < 5 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	for _, path := range sources {
		for i, line := range strings.Split(string(read(t, path)), "\n") {
			if found := sinks.FindString(line); found != "" {
				t.Errorf("%s:%d: %s", path, i+1, found)
			}
			if len([]rune(line)) > 100 {
				t.Errorf("%s:%d: more than 100 columns", path, i+1)
			}
		}
	}
	if found := sinks.FindString(uplot(t)["dist/uPlot.esm.js"]); found != "" {
		t.Errorf("uPlot has %s", found)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
