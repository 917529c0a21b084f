// Command facts writes deploy/kubernetes/compose: what docker-compose.yml with its profile ha says and the manifests would
// say again. `make gen` runs it.
//
// Services that differ by a number only (dispatcher, dispatcher-1, dispatcher-2) are replicas of one workload. For each
// workload there is a patch that kustomize lays over the manifest written by hand: how many, image, arguments, environment,
// ports, probes, grace period, confinement. For each worker-TYPE there is also a folder that makes the workload out of the
// manifest of all workers, and one that makes its autoscaler. The network policies of who calls, and the Service of the
// metrics, get their port.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// From deploy/kubernetes/check, where `make gen` runs it.
const (
	composeFile = "../../../docker-compose.yml"
	folder      = "../compose"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

// write replaces the folder: what compose no longer says is gone from it.
func write() error {
	compose, err := os.ReadFile(composeFile)
	if err != nil {
		return err
	}
	files, err := generate(compose)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
