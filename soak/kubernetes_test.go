package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write deploy/kubernetes anew")

const manifests = "../deploy/kubernetes/soak.yaml"

// TestKubernetes: the manifests in deploy/ are those of the example, and keep to the API.
func TestKubernetes(t *testing.T) {
	var b bytes.Buffer
	if err := WriteKubernetes(&b, exampleOptions(t), examplePods()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(manifests, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(manifests)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what is written now: go test ./soak -run Kubernetes -update", manifests)
	}
	schema := kubernetesSchema(t)
	var kinds []string
	for _, doc := range documents(t, b.Bytes()) {
		kinds = append(kinds, doc["kind"].(string))
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", doc["kind"], err)
		}
	}
	all := []string{"ConfigMap", "PersistentVolumeClaim", "Job", "Job"}
	if !slices.Equal(kinds, all) {
		t.Errorf("%v, want %v", kinds, all)
	}
}

// TestKubernetesSchema: the schema finds mistakes.
func TestKubernetesSchema(t *testing.T) {
	var b bytes.Buffer
	if err := WriteKubernetes(&b, exampleOptions(t), examplePods()); err != nil {
		t.Fatal(err)
	}
	schema := kubernetesSchema(t)
	for _, change := range [][2]string{
		{"completionMode: Indexed", "completionMode: indexed"},
		{"restartPolicy: Never", "restartPolicy: OnFailure"}, {"accessModes:", "accessMode:"},
		{"mountPath: /soak", "mountPath: soak"}, {"memory: ", "memories: "}, {"image: ", "images: "},
		{"action: FailIndex", "action: Fail"}, {"name: soak-", "name: Soak_"},
	} {
		if !strings.Contains(b.String(), change[0]) {
			t.Errorf("%q is nowhere", change[0])
			continue
		}
		wrong := false
		for _, doc := range documents(t, []byte(strings.ReplaceAll(b.String(), change[0], change[1]))) {
			wrong = wrong || schema.Validate(doc) != nil
		}
		if !wrong {
			t.Errorf("%q: no mistake", change[1])
		}
	}
}

// TestKubernetesShards: what a pod runs is the shard that it is.
func TestKubernetesShards(t *testing.T) {
	var b bytes.Buffer
	o := exampleOptions(t)
	if err := WriteKubernetes(&b, o, examplePods()); err != nil {
		t.Fatal(err)
	}
	docs := documents(t, b.Bytes())
	pod := docs[2]["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	c := pod["containers"].([]any)[0].(map[string]any)
	var args []string
	for _, a := range c["args"].([]any) {
		args = append(args, a.(string))
	}
	if line := strings.Join(args, " "); line != "soak /plan/plan.yaml --seed 7 --shard job/4 "+
		"--out /soak/quick/shard-$(JOB_COMPLETION_INDEX) --parallel 1 --runs 40" {
		t.Errorf("a pod runs %s", line)
	}
	shard, shards, err := ParseShard(args[slices.Index(args, "--shard")+1],
		func(string) string { return "3" })
	if shard != 4 || shards != 4 || err != nil {
		t.Errorf("the last pod does %d/%d, %v", shard, shards, err)
	}
	if text := docs[0]["data"].(map[string]any)["plan.yaml"]; text != string(o.Plan.Text) {
		t.Errorf("the plan is %q", text)
	}
}

// TestKubernetesRefuses what pods cannot do.
func TestKubernetesRefuses(t *testing.T) {
	o := exampleOptions(t)
	o.Plan.Budget = Budget{}
	o.Plan.Cells[0].Cluster = "ssh"
	err := WriteKubernetes(io.Discard, o, Kubernetes{})
	if err == nil {
		t.Fatal("no mistake")
	}
	for _, want := range []string{"shards is 0", "cluster ssh: a pod has nothing", "when it is over"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s; %v", want, err)
		}
	}
}

func exampleOptions(t *testing.T) Options {
	t.Helper()
	plan, err := LoadPlan(filepath.Join("..", "examples", "soak", "quick.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Plan: plan, Shard: 1, Shards: 1}
}

func examplePods() Kubernetes {
	return Kubernetes{
		Image: "registry.example.org/ordeal-control:latest", Checker: "/usr/local/lib/ordeal/checker",
		Shards: 4, Seed: 7,
	}
}

func kubernetesSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "kubernetes.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// documents are those of a file, as JSON has them.
func documents(t *testing.T, b []byte) []map[string]any {
	t.Helper()
	var docs []map[string]any
	dec := yaml.NewDecoder(bytes.NewReader(b))
	for {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc.(map[string]any))
	}
}

// TestExamples: the plans of examples/soak are right. Their hosts are those of containers,
// which are not here.
func TestExamples(t *testing.T) {
	plans, err := filepath.Glob(filepath.Join("..", "examples", "soak", "*.yaml"))
	if err != nil || len(plans) < 2 {
		t.Fatalf("%v, %v", plans, err)
	}
	for _, path := range plans {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("cluster: ssh"), []byte("cluster: sim"))
		p, err := ParsePlan(path, text)
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.ContainsFunc(p.Cells, func(c Cell) bool { return c.Canary }) {
			t.Errorf("%s has no canary", path)
		}
	}
}
