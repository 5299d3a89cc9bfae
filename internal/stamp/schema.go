package stamp

import (
	"bytes"
	"encoding/json"

	"github.com/certstamp/certstamp/internal/secret"
)

// SchemaName is the file name of the JSON schema beside this package, and in a starter repository.
const SchemaName = "stamp.schema.json"

// Schema is the JSON schema (draft 2020-12) of stamp.yaml, for completion in editors. It is made from the same table the
// reader uses. It accepts everything Load accepts; Load then knows more, such as the windows' time zones.
func Schema() []byte {
	root := objectSchema(fields(&Stamp{}, Options{}))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "certstamp stamp file"
	root["description"] = "One Azure Stack Hub stamp: its names, its certificates and where they go."
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic("stamp: the schema does not encode: " + err.Error()) // maps of strings and numbers always do
	}
	return b.Bytes()
}

func objectSchema(fields []field) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, f := range fields {
		properties[f.key] = fieldSchema(f)
		if f.required {
			required = append(required, f.key)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func fieldSchema(f field) map[string]any {
	s := map[string]any{}
	switch f.kind {
	case text:
		s = textSchema(f)
	case loose:
		s["type"] = []string{"string", "number"}
	case whole:
		s["type"], s["minimum"], s["maximum"] = "integer", f.min, f.max
	case truth:
		s["type"] = "boolean"
	case list:
		s["type"], s["items"], s["maxItems"] = "array", textSchema(field{pattern: f.pattern}), f.max
		s["uniqueItems"] = true
		if f.min > 0 {
			s["minItems"] = f.min
		}
	case group:
		s = objectSchema(f.fields)
	case either:
		s["oneOf"] = []any{textSchema(field{choices: f.choices}), objectSchema(f.fields)}
	}
	s["description"] = f.help
	return s
}

func textSchema(f field) map[string]any {
	s := map[string]any{"type": "string"}
	switch {
	case f.role != "":
		s["pattern"] = refPattern(f.role)
	case len(f.choices) > 0:
		s["enum"] = f.choices
	case f.pattern != "":
		s["pattern"] = f.pattern
	}
	return s
}

func refPattern(role secret.Role) string {
	return "^(env:" + string(role) + "_[A-Z0-9_]+|file:[^\\r\\n]+)$"
}
