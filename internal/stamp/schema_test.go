package stamp

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
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
	return validates(t, resolvedSchema(t), text)
}

func resolvedSchema(t testing.TB) *jsonschema.Resolved {
	t.Helper()
	var schema jsonschema.Schema
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func validates(t *testing.T, schema *jsonschema.Resolved, text string) error {
	t.Helper()
	var value any
	if err := yaml.Load([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
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

// Every stamp file we show people must load, and an editor must agree.
func TestExamples(t *testing.T) {
	top := filepath.Join("..", "..", "examples")
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p == top {
			return nil
		}
		if err != nil || d.Name() != FileName {
			return err
		}
		t.Run(filepath.ToSlash(p), func(t *testing.T) {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := parse("stamps/x/stamp.yaml", b, Options{}); len(problems) > 0 {
				t.Error(problems)
			}
			if err := accepts(t, string(b)); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
