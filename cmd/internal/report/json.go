package report

import (
	"bytes"
	"encoding/json"
	"io"
)

// JSON writes d as one indented document. The sequences that log parsers read as commands are escaped the JSON way, so
// the document can be printed in a pipeline and still decodes to the same text.
func JSON(w io.Writer, d *Document) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return err
	}
	out := bytes.ReplaceAll(b.Bytes(), []byte("#"), []byte(`\u0023`))
	_, err := w.Write(out)
	return err
}
