package policies

import (
	"fmt"
	"sync"
)

type sourced struct {
	ID     string `yaml:"id"`
	Source Source `yaml:"source"`
}

// findingSources are read when a finding without a source comes up: most runs have none.
var findingSources = sync.OnceValues(func() (map[string]Source, error) {
	b, err := files.ReadFile("findings.yaml")
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	var list []sourced
	if err := strict(b, &list); err != nil {
		return nil, fmt.Errorf("policies/findings.yaml: %w", err)
	}
	out := make(map[string]Source, len(list))
	for _, s := range list {
		if _, twice := out[s.ID]; twice || s.ID == "" || s.Source.Doc == "" {
			return nil, fmt.Errorf("policies/findings.yaml: %q is there twice, or lacks something", s.ID)
		}
		out[s.ID] = s.Source
	}
	return out, nil
})

// FindingSource is where the demand behind a finding stands that belongs to no rule: false for an id that is not in
// findings.yaml.
func FindingSource(id string) (Source, bool) {
	all, err := findingSources()
	s, ok := all[id]
	return s, err == nil && ok
}
