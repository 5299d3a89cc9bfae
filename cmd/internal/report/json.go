package report

import (
	"bytes"
	"encoding/json"
	"io"
)

// JSON writes d as one indented document.
func JSON(w io.Writer, d *Document) error { return encode(w, d) }

// encode writes JSON. The sequences that log parsers read as commands are escaped the JSON way, so the document can be
// printed in a pipeline and still decodes to the same text.
func encode(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	out := bytes.ReplaceAll(b.Bytes(), []byte("#"), []byte(`\u0023`))
	_, err := w.Write(out)
	return err
}
