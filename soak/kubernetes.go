package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ordeal-dev/ordeal/systems"
)

// Kubernetes says how a plan is soaked by an indexed job: one pod a shard.
type Kubernetes struct {
	// Image has the checker and the nodes' program; Checker is the checker's path in it.
	Image, Checker string
	Shards         int
	// StorageClass of the volume that all pods share; "" is the cluster's default.
	StorageClass string
	// Seed is the master seed, the same in all pods.
	Seed uint64

	_ struct{} // keyed literals only
}

// The paths in a pod.
const (
	planPath  = "/plan"
	storePath = "/soak"
)

// podGrace is how long a pod may take to heal and to write its summary when it is evicted.
const podGrace = 180

// The manifests, as far as they are needed. Field names are those of the API.
type (
	object struct {
		APIVersion string            `yaml:"apiVersion"`
		Kind       string            `yaml:"kind"`
		Metadata   meta              `yaml:"metadata"`
		Data       map[string]string `yaml:"data,omitempty"`
		Spec       any               `yaml:"spec,omitempty"`
	}
	meta struct {
		Name   string            `yaml:"name,omitempty"`
		Labels map[string]string `yaml:"labels,omitempty"`
	}
	claimSpec struct {
		AccessModes  []string  `yaml:"accessModes"`
		StorageClass string    `yaml:"storageClassName,omitempty"`
		Resources    resources `yaml:"resources"`
	}
	resources struct {
		Requests map[string]string `yaml:"requests,omitempty"`
		Limits   map[string]string `yaml:"limits,omitempty"`
	}
	jobSpec struct {
		Completions      int            `yaml:"completions,omitempty"`
		Parallelism      int            `yaml:"parallelism,omitempty"`
		CompletionMode   string         `yaml:"completionMode,omitempty"`
		BackoffPerIndex  int            `yaml:"backoffLimitPerIndex,omitempty"`
		BackoffLimit     *int           `yaml:"backoffLimit,omitempty"`
		Suspend          bool           `yaml:"suspend,omitempty"`
		PodFailurePolicy *failurePolicy `yaml:"podFailurePolicy,omitempty"`
		Template         podTemplate    `yaml:"template"`
	}
	failurePolicy struct {
		Rules []failureRule `yaml:"rules"`
	}
	failureRule struct {
		Action          string         `yaml:"action"`
		OnExitCodes     *exitCodes     `yaml:"onExitCodes,omitempty"`
		OnPodConditions []podCondition `yaml:"onPodConditions,omitempty"`
	}
	exitCodes struct {
		ContainerName string `yaml:"containerName"`
		Operator      string `yaml:"operator"`
		Values        []int  `yaml:"values,flow"`
	}
	podCondition struct {
		Type   string `yaml:"type"`
		Status string `yaml:"status"`
	}
	podTemplate struct {
		Metadata meta    `yaml:"metadata"`
		Spec     podSpec `yaml:"spec"`
	}
	podSpec struct {
		RestartPolicy   string         `yaml:"restartPolicy"`
		Grace           int            `yaml:"terminationGracePeriodSeconds"`
		ShareProcesses  bool           `yaml:"shareProcessNamespace"`
		ServiceToken    bool           `yaml:"automountServiceAccountToken"`
		SecurityContext map[string]any `yaml:"securityContext"`
		Containers      []container    `yaml:"containers"`
		Volumes         []volume       `yaml:"volumes"`
	}
	container struct {
		Name            string         `yaml:"name"`
		Image           string         `yaml:"image"`
		Command         []string       `yaml:"command"`
		Args            []string       `yaml:"args"`
		WorkingDir      string         `yaml:"workingDir"`
		Env             []envVar       `yaml:"env,omitempty"`
		Resources       resources      `yaml:"resources"`
		SecurityContext map[string]any `yaml:"securityContext"`
		VolumeMounts    []mount        `yaml:"volumeMounts"`
	}
	envVar struct {
		Name      string                       `yaml:"name"`
		Value     string                       `yaml:"value,omitempty"`
		ValueFrom map[string]map[string]string `yaml:"valueFrom,omitempty"`
	}
	mount struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly,omitempty"`
	}
	volume struct {
		Name                  string            `yaml:"name"`
		ConfigMap             map[string]string `yaml:"configMap,omitempty"`
		PersistentVolumeClaim map[string]string `yaml:"persistentVolumeClaim,omitempty"`
		EmptyDir              *struct{}         `yaml:"emptyDir,omitempty"`
	}
)

// manifestHead explains the file to who opens it.
const manifestHead = `# Made by checker soak %s --emit kubernetes: do not edit, make it again.
#
#     kubectl apply -f this-file
#     kubectl get job/%[2]s --watch     # until it is complete, or failed
#     kubectl patch job/%[2]s-merge --type=merge -p '{"spec":{"suspend":false}}'
#     kubectl logs -f job/%[2]s-merge
#
# One pod a shard. A pod that is evicted or killed goes on where it was. A shard that has found
# something fails, and its job with it; the others go on. docs/SCALING.md says more.
`

// WriteKubernetes writes the manifests of a plan: the plan, a volume that all pods share, the
// job, and a second one, suspended, that merges what the shards have found.
func WriteKubernetes(w io.Writer, o Options, k Kubernetes) error {
	if err := k.validate(o); err != nil {
		return err
	}
	name := kubernetesName(o.Plan.Name)
	labels := map[string]string{
		"app.kubernetes.io/name": "ordeal-soak", "app.kubernetes.io/instance": name,
	}
	named := func(version, kind, name string) object {
		return object{APIVersion: version, Kind: kind, Metadata: meta{Name: name, Labels: labels}}
	}
	plan := named("v1", "ConfigMap", name+"-plan")
	plan.Data = map[string]string{planFile: string(o.Plan.Text)}
	claim := named("v1", "PersistentVolumeClaim", name)
	claim.Spec = claimSpec{
		AccessModes: []string{"ReadWriteMany"}, StorageClass: k.StorageClass,
		Resources: resources{Requests: map[string]string{"storage": k.storage(o.budget())}},
	}
	job := named("batch/v1", "Job", name)
	job.Spec = k.job(o, name, labels)
	merge := named("batch/v1", "Job", name+"-merge")
	merge.Spec = k.merge(o, name, labels)
	var b bytes.Buffer
	fmt.Fprintf(&b, manifestHead, planFile, name)
	for _, v := range []object{plan, claim, job, merge} {
		fmt.Fprintln(&b, "---")
		enc := yaml.NewEncoder(&b)
		enc.SetIndent(2)
		if err := errors.Join(enc.Encode(v), enc.Close()); err != nil {
			return fmt.Errorf("write manifests: %w", err)
		}
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write manifests: %w", err)
	}
	return nil
}

// validate lists why a plan cannot be soaked in pods.
func (k Kubernetes) validate(o Options) error {
	var errs []error
	if k.Shards < 1 || k.Shards > 10_000 {
		errs = append(errs, fmt.Errorf("shards is %d: want 1 to 10000", k.Shards))
	}
	told := map[string]bool{}
	bad := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !told[s] {
			told[s] = true
			errs = append(errs, errors.New(s))
		}
	}
	for _, c := range o.Plan.Cells {
		if c.Cluster != "sim" && c.Cluster != "local" {
			bad("cluster %s: a pod has nothing but itself: its nodes are simulated, or local processes",
				c.Cluster)
		}
		if systems.IsFile(c.Config.System) || c.Config.Schedule != "" {
			bad("cells with files of their own, such as %s, are not in the plan's config map: make an "+
				"image that has them", c.ID)
		}
	}
	b := o.budget()
	if b.Time == 0 && b.Runs == 0 {
		bad("nothing says when it is over: --for, --runs, or a budget in the plan")
	}
	return errors.Join(errs...)
}

// job is the job of all shards.
func (k Kubernetes) job(o Options, name string, labels map[string]string) jobSpec {
	b := o.budget()
	args := []string{
		"soak", planPath + "/" + planFile, "--seed", fmt.Sprint(k.Seed),
		"--shard", fmt.Sprintf("job/%d", k.Shards),
		"--out", fmt.Sprintf("%s/%s/shard-$(%s)", storePath, o.Plan.Name, jobIndex),
		"--parallel", fmt.Sprint(max(1, b.Parallel)),
	}
	if b.Time > 0 {
		args = append(args, "--for", shortTime(b.Time.Round(time.Second)))
	}
	if b.Runs > 0 {
		args = append(args, "--runs", fmt.Sprint(b.Runs))
	}
	index := envVar{Name: jobIndex, ValueFrom: map[string]map[string]string{"fieldRef": {
		"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
	}}}
	return jobSpec{
		Completions: k.Shards, Parallelism: k.Shards, CompletionMode: "Indexed",
		BackoffPerIndex: 10,
		PodFailurePolicy: &failurePolicy{Rules: []failureRule{
			// An eviction is no failure: the next pod goes on.
			{Action: "Ignore", OnPodConditions: []podCondition{{"DisruptionTarget", "True"}}},
			// A verdict does not become another one by being asked for again.
			{Action: "FailIndex", OnExitCodes: &exitCodes{"soak", "In", []int{1, 2, 254}}},
		}},
		Template: k.pod(name, labels, b, args, index),
	}
}

// merge is the job that tells of all shards.
func (k Kubernetes) merge(o Options, name string, labels map[string]string) jobSpec {
	args := []string{"soak", "merge"}
	for i := range k.Shards {
		args = append(args, fmt.Sprintf("%s/%s/shard-%d", storePath, o.Plan.Name, i))
	}
	args = append(args, "--out", fmt.Sprintf("%s/%s/merged", storePath, o.Plan.Name))
	once := 0
	return jobSpec{
		BackoffLimit: &once, Suspend: true, Template: k.pod(name, labels, Budget{Parallel: 1}, args),
	}
}

// pod runs the checker, as nobody, with nothing that it does not need.
func (k Kubernetes) pod(
	name string, labels map[string]string, b Budget, args []string, env ...envVar,
) podTemplate {
	memory := b.Memory
	if memory == 0 {
		memory = int64(max(1, b.Parallel)) * podMemory
	}
	memory += podSpare
	cpu := fmt.Sprint(max(1, b.Parallel))
	return podTemplate{
		Metadata: meta{Labels: labels},
		Spec: podSpec{
			RestartPolicy: "Never", Grace: podGrace, ShareProcesses: true,
			SecurityContext: map[string]any{
				"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
				"seccompProfile": map[string]string{"type": "RuntimeDefault"},
			},
			Containers: []container{{
				Name: "soak", Image: k.Image, Command: []string{k.Checker}, Args: args,
				WorkingDir: "/tmp", Env: append(env, envVar{Name: "HOME", Value: "/tmp"}),
				Resources: resources{
					Requests: map[string]string{"cpu": cpu, "memory": mebibytes(memory)},
					Limits:   map[string]string{"memory": mebibytes(memory)},
				},
				SecurityContext: map[string]any{
					"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
					"capabilities": map[string][]string{"drop": {"ALL"}},
				},
				VolumeMounts: []mount{
					{"plan", planPath, true}, {"soak", storePath, false}, {"tmp", "/tmp", false},
				},
			}},
			Volumes: []volume{
				{Name: "plan", ConfigMap: map[string]string{"name": name + "-plan"}},
				{Name: "soak", PersistentVolumeClaim: map[string]string{"claimName": name}},
				{Name: "tmp", EmptyDir: &struct{}{}},
			},
		},
	}
}

const (
	// podMemory is for a run, podSpare for the soak itself.
	podMemory = 1 << 30
	podSpare  = 256 << 20
	// shardStorage is for a shard whose plan has no budget of its own.
	shardStorage = 10e9
)

func mebibytes(n int64) string { return fmt.Sprintf("%dMi", (n+1<<20-1)>>20) }

// storage is what all shards together may take.
func (k Kubernetes) storage(b Budget) string {
	disk := b.Disk
	if disk == 0 {
		disk = shardStorage
	}
	return mebibytes(disk * int64(k.Shards))
}

var unfitName = regexp.MustCompile(`[^a-z0-9-]+`)

// kubernetesName makes a name that Kubernetes takes.
func kubernetesName(plan string) string {
	const most = 40
	s := unfitName.ReplaceAllString(strings.ToLower("soak-"+plan), "-")
	return strings.Trim(s[:min(len(s), most)], "-")
}
