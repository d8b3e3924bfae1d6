package render

import (
	"fmt"
	"maps"
)

// prometheusRuleFiles are the groups of rules/ as objects for an operator, one
// per section, and a kustomization over them. An object's groups are the same
// text as in the plain files.
func prometheusRuleFiles(b *bundle) ([]File, error) {
	const dir = "deploy/prometheusrule/"
	kustomization := kustomizationYAML{APIVersion: "kustomize.config.k8s.io/v1beta1", Kind: "Kustomization"}
	var out []File
	for _, g := range b.groups {
		labels := map[string]string{"app.kubernetes.io/part-of": "genai"}
		maps.Copy(labels, b.c.RuleLabels)
		data, err := marshalYAML(prometheusRuleYAML{
			APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule",
			Metadata: metadataYAML{Name: g.Name, Labels: labels},
			Spec:     prometheusRuleSpecYAML{Groups: []ruleGroupYAML{b.plainGroup(g)}},
		})
		if err != nil {
			return nil, fmt.Errorf("prometheusrule of %s: %w", g.Section, err)
		}
		name := g.Section + ".yaml"
		kustomization.Resources = append(kustomization.Resources, name)
		out = append(out, File{dir + name, append([]byte(header("#")), data...)})
	}
	data, err := marshalYAML(kustomization)
	if err != nil {
		return nil, fmt.Errorf("kustomization: %w", err)
	}
	return append(out, File{dir + "kustomization.yaml", append([]byte(header("#")), data...)}), nil
}

// What follows are the fields of the objects that we write.
type (
	prometheusRuleYAML struct {
		APIVersion string                 `yaml:"apiVersion"`
		Kind       string                 `yaml:"kind"`
		Metadata   metadataYAML           `yaml:"metadata"`
		Spec       prometheusRuleSpecYAML `yaml:"spec"`
	}
	metadataYAML struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	}
	prometheusRuleSpecYAML struct {
		Groups []ruleGroupYAML `yaml:"groups"`
	}
	kustomizationYAML struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Resources  []string `yaml:"resources"`
	}
)
