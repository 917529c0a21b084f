// Package check tests the manifests in deploy/kubernetes: against the schemas that Kubernetes and the Prometheus operator
// publish, against what facts made of docker-compose.yml, and against what the grid promises of itself. It is a module of its
// own, because nobody who builds the grid needs kustomize.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Where the schemas come from: modules that carry them as files. They are fetched like any module, and not compiled.
const (
	kubernetesModule = "sigs.k8s.io/kubectl-validate@v0.0.4"
	kubernetesFiles  = "pkg/openapiclient/builtins/1.30" // the oldest release of which the manifests keep the schemas
	operatorModule   = "github.com/prometheus-operator/prometheus-operator@v0.83.0"
	monitorFile      = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
)

// schema is what is looked at of an OpenAPI schema.
type schema struct {
	Ref        string             `json:"$ref"`
	AllOf      []*schema          `json:"allOf"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	Additional *schema            `json:"additionalProperties"`
	Enum       []any              `json:"enum"`
	IntOrText  bool               `json:"x-kubernetes-int-or-string"`
	Free       bool               `json:"x-kubernetes-preserve-unknown-fields"`
	Kinds      []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`
}

// schemas are all there are: by apiVersion and kind, and by the name under which they refer to each other.
type schemas struct {
	kinds map[string]*schema
	named map[string]*schema
}

// load reads the published schemas.
func load() (*schemas, error) {
	s := &schemas{kinds: map[string]*schema{}, named: map[string]*schema{}}
	dir, err := fetch(kubernetesModule)
	if err != nil {
		return nil, err
	}
	files, _ := filepath.Glob(filepath.Join(dir, kubernetesFiles, "api*", "*.json"))
	more, _ := filepath.Glob(filepath.Join(dir, kubernetesFiles, "apis", "*", "*.json"))
	for _, file := range append(files, more...) {
		var document struct {
			Components struct{ Schemas map[string]*schema }
		}
		if err := read(file, json.Unmarshal, &document); err != nil {
			return nil, err
		}
		maps.Copy(s.named, document.Components.Schemas)
	}
	for _, one := range s.named {
		for _, k := range one.Kinds {
			s.kinds[strings.TrimPrefix(k.Group+"/"+k.Version, "/")+" "+k.Kind] = one
		}
	}
	return s, s.loadMonitor()
}

// loadMonitor reads the schema of a ServiceMonitor.
func (s *schemas) loadMonitor() error {
	dir, err := fetch(operatorModule)
	if err != nil {
		return err
	}
	var definition struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema *schema `json:"openAPIV3Schema"`
				}
			}
		}
	}
	unmarshal := func(data []byte, into any) error { return yaml.Unmarshal(data, into) }
	if err := read(filepath.Join(dir, monitorFile), unmarshal, &definition); err != nil {
		return err
	}
	for _, v := range definition.Spec.Versions {
		v.Schema.OpenAPIV3Schema.Properties["metadata"] = s.named["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
		s.kinds[definition.Spec.Group+"/"+v.Name+" "+definition.Spec.Names.Kind] = v.Schema.OpenAPIV3Schema
	}
	return nil
}

// fetch returns the folder of a module.
func fetch(module string) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &answer); jsonErr != nil || answer.Dir == "" {
		return "", fmt.Errorf("fetch %s: %w", module, errors.Join(err, jsonErr, errors.New(answer.Error)))
	}
	return answer.Dir, nil
}

func read(file string, unmarshal func([]byte, any) error, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// validate returns what is wrong with an object: fields that its schema does not have or that it lacks, and values of a
// wrong type.
func (s *schemas) validate(object map[string]any) error {
	kind := fmt.Sprint(object["apiVersion"], " ", object["kind"])
	root := s.kinds[kind]
	if root == nil {
		return fmt.Errorf("no schema of %s", kind)
	}
	return s.check("", root, object)
}

func (s *schemas) check(path string, is *schema, value any) error {
	for is.Ref != "" || len(is.AllOf) > 0 {
		ref := is.Ref
		if ref == "" {
			ref = is.AllOf[0].Ref
		}
		named := s.named[strings.TrimPrefix(ref, "#/components/schemas/")]
		if named == nil {
			return fmt.Errorf("%s: no schema %s", path, ref)
		}
		is = named
	}
	if len(is.Enum) > 0 && !slices.Contains(is.Enum, value) {
		return fmt.Errorf("%s: %v: must be one of %v", path, value, is.Enum)
	}
	switch v := value.(type) {
	case map[string]any:
		return s.checkFields(path, is, v)
	case []any:
		if is.Type != "array" {
			return fmt.Errorf("%s: a list: must be %s", path, is.Type)
		}
		var errs []error
		for i, item := range v {
			errs = append(errs, s.check(fmt.Sprintf("%s[%d]", path, i), is.Items, item))
		}
		return errors.Join(errs...)
	case string:
		return expect(path, is, v, "string")
	case bool:
		return expect(path, is, v, "boolean")
	case float64:
		if v == float64(int64(v)) && is.Type == "integer" {
			return nil
		}
		return expect(path, is, v, "number")
	default:
		return fmt.Errorf("%s: %v: must not be empty", path, v)
	}
}

// expect checks the type of a plain value. Quantities, and numbers or names of ports, have no single type.
func expect(path string, is *schema, value any, typ string) error {
	free := typ != "boolean" && (is.IntOrText || is.Format == "int-or-string" || is.Type == "")
	if is.Type == typ || free {
		return nil
	}
	return fmt.Errorf("%s: %v: must be of type %s", path, value, is.Type)
}

func (s *schemas) checkFields(path string, is *schema, object map[string]any) error {
	if is.Type != "object" && is.Type != "" {
		return fmt.Errorf("%s: fields: must be %s", path, is.Type)
	}
	var errs []error
	for _, name := range is.Required {
		if _, there := object[name]; !there {
			errs = append(errs, fmt.Errorf("%s.%s: is required", path, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field := is.Properties[name]
		if field == nil {
			field = is.Additional
		}
		switch {
		case field != nil:
			errs = append(errs, s.check(path+"."+name, field, object[name]))
		case !is.Free && (is.Properties != nil || is.Type == "object"):
			errs = append(errs, fmt.Errorf("%s.%s: no such field", path, name))
		}
	}
	return errors.Join(errs...)
}
