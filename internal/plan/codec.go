package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxSize bounds a plan, in bytes.
const MaxSize = 4 << 20

// ErrEdited means that the bytes are not what Marshal writes: somebody, or something, touched the document.
var ErrEdited = errors.New("the plan is not in its canonical form: it was edited, or is not a plan")

// Marshal writes the one canonical form: JSON, two spaces, fields in the order of the types, LF at the end.
func (p *Plan) Marshal() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return b.Bytes(), nil
}

// Parse reads a plan strictly: no unknown fields, nothing after it, and exactly the bytes that Marshal would write.
func Parse(b []byte) (*Plan, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("a plan of %d bytes, at most %d", len(b), MaxSize)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	p := &Plan{}
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrEdited, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrEdited
	}
	if p.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("plan of schema version %d, this tool reads %d", p.SchemaVersion, SchemaVersion)
	}
	again, err := p.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, ErrEdited
	}
	return p, nil
}

// Digest is the hex SHA-256 of a plan's bytes: what reviewers approve and what binds every command.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Expired reports whether the plan may no longer begin. It gates the first change only.
func (p *Plan) Expired(now time.Time) bool {
	t, err := time.Parse(time.RFC3339, p.ValidUntil)
	return err != nil || !now.Before(t)
}
