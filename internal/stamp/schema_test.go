package stamp

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "rewrite stamp.schema.json")

func TestSchemaIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile(SchemaName, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(SchemaName)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(normalise(have), Schema()) {
		t.Errorf("%s is not what the fields say: run go test ./internal/stamp -update", SchemaName)
	}
}

// accepts validates a YAML text as an editor would.
func accepts(t *testing.T, text string) error {
	t.Helper()
	var schema jsonschema.Schema
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Load([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return resolved.Validate(value)
}

func TestSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	for name, text := range good {
		t.Run(name, func(t *testing.T) {
			mustLoad(t, text)
			if err := accepts(t, text); err != nil {
				t.Errorf("Load accepts the file, the schema refuses it: %v", err)
			}
		})
	}
}

func TestSchemaRefusesWrongShapes(t *testing.T) {
	for _, row := range mistakes {
		if !row.shape {
			continue
		}
		t.Run(row.claim, func(t *testing.T) {
			if err := accepts(t, row.text()); err == nil {
				t.Errorf("the schema accepts what Load refuses:\n%s", row.text())
			}
		})
	}
}
