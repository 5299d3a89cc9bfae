package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v4"
)

const hidden = "hunter2-tr0ub4dor"

// forms are the shapes in which a secret strays into output.
func forms() map[string]any {
	v := New(hidden)
	type inner struct {
		Password Value
		private  Value
		any      any
	}
	return map[string]any{
		"value":             v,
		"pointer":           &v,
		"struct":            inner{Password: v, private: v, any: v},
		"pointer to struct": &inner{Password: v, private: v, any: &v},
		"map value":         map[string]Value{"k": v},
		"map key":           map[Value]int{v: 1},
		"slice":             []Value{v},
		"array of pointers": [1]*Value{&v},
		"interface":         []any{v, &v},
		"embedded":          struct{ Value }{v},
		"unexported":        struct{ p Value }{v},
		"unexported map":    struct{ m map[string]Value }{map[string]Value{"k": v}},
	}
}

// leaks looks for the secret as it is and in the encodings that fmt and encoders know.
func leaks(out string) bool {
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("% x", hidden), fmt.Sprintf("%d", []byte(hidden)), fmt.Sprint([]rune(hidden))} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

func TestNoVerbReveals(t *testing.T) {
	for name, v := range forms() {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspz!" {
			for _, flags := range []string{"", "+", "#", " ", "0", "-", "40", ".3", "+#", "#.100"} {
				format := "%" + flags + string(verb)
				if out := fmt.Sprintf(format, v); leaks(out) {
					t.Errorf("%s of a %s shows %q", format, name, out)
				}
			}
		}
		for how, out := range map[string]string{"Sprint": fmt.Sprint(v), "Sprintln": fmt.Sprintln(v)} {
			if leaks(out) {
				t.Errorf("%s of a %s shows %q", how, name, out)
			}
		}
	}
}

func TestValueItselfPrintsRedacted(t *testing.T) {
	v := New(hidden)
	for _, verb := range "vsqxXd" {
		if got := fmt.Sprintf("%"+string(verb), v); got != Redacted {
			t.Errorf("%%%c gives %q, want %q", verb, got, Redacted)
		}
	}
	if got := fmt.Sprintf("%#v", v); got != Redacted {
		t.Errorf("%%#v gives %q", got)
	}
}

func TestNoErrorReveals(t *testing.T) {
	err := fmt.Errorf("login as %v with %q: %w", "user", New(hidden), errors.New("refused"))
	if leaks(err.Error()) || !strings.Contains(err.Error(), Redacted) {
		t.Errorf("got %v", err)
	}
}

func TestNoLogReveals(t *testing.T) {
	for name, v := range forms() {
		var out bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			l := slog.New(h)
			l.Info("message", "secret", v, slog.Group("group", "secret", v))
			l.With("secret", v).WithGroup("g").Info(fmt.Sprint(v), slog.Any("any", v))
		}
		if leaks(out.String()) {
			t.Errorf("a log shows a %s:\n%s", name, &out)
		}
	}
}

func TestNoEncoderReveals(t *testing.T) {
	encoders := map[string]func(any) ([]byte, error){
		"JSON": json.Marshal,
		"YAML": func(v any) ([]byte, error) { return yaml.Dump(v) },
		"template": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := template.Must(template.New("").Parse("{{.}} {{printf \"%s\" .}} {{html .}} {{js .}}")).Execute(&b, v)
			return b.Bytes(), err
		},
	}
	for how, encode := range encoders {
		for name, v := range forms() {
			out, err := encode(v)
			if leaks(string(out)) || err != nil && leaks(err.Error()) {
				t.Errorf("%s shows a %s: %s, %v", how, name, out, err)
			}
		}
		out, err := encode(struct{ Password Value }{New(hidden)})
		if err != nil || !strings.Contains(string(out), "redacted") {
			t.Errorf("%s gives %s, %v; want it redacted", how, out, err)
		}
	}
}

func TestXMLDoesNotReveal(t *testing.T) {
	v := New(hidden)
	type login struct {
		Attribute Value  `xml:"attribute,attr"`
		Pointer   *Value `xml:"pointer"`
		List      []Value
	}
	out, err := xml.Marshal(login{v, &v, []Value{v}})
	if err != nil || leaks(string(out)) || strings.Count(string(out), "redacted") != 3 {
		t.Errorf("got %s, %v; want three redacted", out, err)
	}
}

func TestNothingDecodesIntoAValue(t *testing.T) {
	var v struct{ Password Value }
	_ = json.Unmarshal([]byte(`{"Password": "literal"}`), &v)
	_ = yaml.Load([]byte("Password: literal"), &v)
	if !v.Password.IsZero() {
		t.Error("a literal in a file became a secret: only references may")
	}
}

func TestZeroAndEmpty(t *testing.T) {
	var zero Value
	if !zero.IsZero() || zero.Reveal() != "" {
		t.Errorf("zero: %v, %q", zero.IsZero(), zero.Reveal())
	}
	if New("").IsZero() {
		t.Error("an empty secret is not no secret")
	}
	if got := New(hidden).Reveal(); got != hidden {
		t.Errorf("revealed %q", got)
	}
	if got := fmt.Sprint(zero); got != Redacted {
		t.Errorf("zero prints %q: whether there is a secret is nobody's business", got)
	}
}
