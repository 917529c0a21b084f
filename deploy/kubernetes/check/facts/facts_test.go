package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// compose returns docker-compose.yml as it is.
func compose(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", composeFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheFolderIsWhatComposeSays(t *testing.T) {
	want, err := generate([]byte(compose(t)))
	if err != nil {
		t.Fatal(err)
	}
	dir := os.DirFS(filepath.Join("..", folder))
	err = fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got, err := fs.ReadFile(dir, name)
		if text, there := want[name]; !there || !bytes.Equal(got, text) {
			t.Errorf("compose/%s is not what docker-compose.yml says: make gen", name)
		}
		delete(want, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("compose/%s is missing: make gen", name)
	}
}

// second returns a worker of the profile ha as compose has it.
func second(name, typ string) string {
	return fmt.Sprintf("  worker-%s:\n    <<: *worker\n    profiles: [ha]\n    command: [\"worker\", %q]\n", name, typ)
}

// TestAChangeOfComposeReachesKubernetes changes one fact at a time, and looks for it where a cluster reads it.
func TestAChangeOfComposeReachesKubernetes(t *testing.T) {
	before := compose(t)
	unchanged, err := generate([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, file, want string }{
		{"image: taskgrid", "image: grid", "monitoring.yaml", "image: grid\n"},
		{`"--http"`, `"--peek"`, "monitoring.yaml", "- --peek\n"},
		{":9090", ":9191", "worker-sum.yaml", "value: :9191\n"},
		{":9090", ":9191", "worker-sum.yaml", "containerPort: 9191\n"},
		{":9090", ":9191", "worker-sum.yaml", "- http://127.0.0.1:9191/metrics\n"},
		{":50060", ":60060", "worker-sum.yaml", "containerPort: 60060\n"},
		{"127.0.0.1:50051", "127.0.0.1:60051", "nameservice.yaml", "- 127.0.0.1:60051\n"},
		{"interval: 5s", "interval: 1m", "nameservice.yaml", "periodSeconds: 60\n"},
		{"timeout: 3s", "timeout: 4s", "nameservice.yaml", "timeoutSeconds: 4\n"},
		{"retries: 3", "retries: 7", "nameservice.yaml", "failureThreshold: 7\n"},
		{"stop_grace_period: 20s", "stop_grace_period: 30s", "dispatcher.yaml", "terminationGracePeriodSeconds: 30\n"},
		{"read_only: true", "read_only: false", "dispatcher.yaml", "readOnlyRootFilesystem: false\n"},
		{"cap_drop: [ALL]", "cap_drop: [KILL]", "dispatcher.yaml", "- KILL\n"},
		{"no-new-privileges:true", "no-new-privileges:false", "dispatcher.yaml", "allowPrivilegeEscalation: true\n"},
		{"/data", "/disk", "dispatcher.yaml", "- /disk/journal\n"},
		{"/data", "/disk", "dispatcher.yaml", "mountPath: /disk\n"},
		{":50062", ":60062", "dispatcher.yaml", "- dispatcher-0=dispatcher-0.dispatcher:60062,dispatcher-1=dispatcher-1.dispatcher:60062,dispatcher-2=dispatcher-2.dispatcher:60062\n"},
		{":50062", ":60062", "dispatcher-service.yaml", "port: 60062\n"},
		{":50051", ":60051", "to-nameservice.yaml", "port: 60051\n"},
		{":50052", ":60052", "to-dispatcher.yaml", "port: 60052\n"},
		{":50062", ":60062", "to-raft.yaml", "port: 60062\n"},
		{":50060", ":60060", "to-worker.yaml", "port: 60060\n"},
		{second("sum-2", "sum"), second("sha-256", "sha-256"), "worker-sha-256/kustomization.yaml", "taskgrid/type: sha-256\n"},
		{":9090", ":9191", "prometheus/metrics-service.yaml", "port: 9191\n"},
		{second("sum-2", "sum"), second("hash-3", "hash"), "worker-hash.yaml", "replicas: 3\n"},
		{second("sum-2", "sum"), second("hash-3", "hash"), "worker-sum.yaml", "replicas: 1\n"},
		{second("sum-2", "sum"), second("hash-3", "hash"), "prometheus/sum/kustomization.yaml", "path: /spec/minReplicas\n      value: 1\n"},
		{second("sum-2", "sum"), second("count", "count"), "kustomization.yaml", "- worker-count\n"},
		{second("sum-2", "sum"), second("count", "count"), "worker-count/kustomization.yaml", "taskgrid/type: count\n"},
		{second("sum-2", "sum"), second("count", "count"), "prometheus/kustomization.yaml", "- count\n"},
		{"  monitoring:", "  broker:", "kustomization.yaml", "- path: broker.yaml\n"},
	} {
		files, err := generate([]byte(strings.ReplaceAll(before, c.old, c.new)))
		if err != nil {
			t.Fatalf("%s for %s: %v", c.new, c.old, err)
		}
		if strings.Contains(string(unchanged[c.file]), c.want) || !strings.Contains(string(files[c.file]), c.want) {
			t.Errorf("%s for %s: %s has no new %q:\n%s", c.new, c.old, c.file, c.want, files[c.file])
		}
	}
}

// TestWhatKubernetesSaysOtherwiseIsSaidHere changes compose so that nobody knows what a pod should be told.
func TestWhatKubernetesSaysOtherwiseIsSaidHere(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`":9090"`, `"${METRICS:-:9090}"`, "TASKGRID_METRICS_ADDRESS"},
		{"nameservice:50051", "${NAMES}:50051", "TASKGRID_NAMESERVICE: ${NAMES}:50051: compose leaves it to who starts it"},
		{"  nameservice-2:", "  broker-2:", "service broker-2: there is no service broker"},
		{`"CMD"`, `"CMD-SHELL"`, "want CMD and a program"},
		{"stop_grace_period: 20s", "stop_grace_period: soon", "soon"},
		{"stop_grace_period: 20s", "stop_grace_period: 500ms", "500ms: must be whole seconds"},
		{"stop_grace_period: 20s", "", "want stop_grace_period"},
		{"  interval: 5s", "", "interval, timeout and retries"},
		{`["worker", "sum"]`, `["worker", "sum,upper"]`, "want worker TYPE"},
		{`["worker", "sum"]`, `["worker", "hash"]`, "want worker TYPE"},
		{"--raft-address", "--raft", "policy to-raft: no service of compose has a port raft"},
		{`"--http"`, `"--metrics-address", ":9191", "--http"`, "ports [9090 9191] of metrics"},
	} {
		if _, err := generate([]byte(strings.ReplaceAll(compose(t), c.old, c.new))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: got %v, want %q", c.new, c.old, err, c.want)
		}
	}
}

// TestAPortIsWrittenByHandInComposeOnly looks for the numbers of compose in every manifest that was not generated.
func TestAPortIsWrittenByHandInComposeOnly(t *testing.T) {
	all, err := read([]byte(compose(t)))
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for _, w := range all {
		ports, err := w.ports()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			numbers = append(numbers, strconv.Itoa(p.number))
		}
	}
	again := regexp.MustCompile(`\b(` + strings.Join(numbers, "|") + `)\b`)
	looked := 0
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if path == filepath.Join("..", folder) {
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		for _, number := range again.FindAllString(string(text), -1) {
			t.Errorf("%s: %s is a port in docker-compose.yml, want it to come from there", path, number)
		}
		return err
	})
	if err != nil || looked == 0 || len(numbers) < len(all) {
		t.Fatalf("looked for %v in %d files: %v", numbers, looked, err)
	}
}
