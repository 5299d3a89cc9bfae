package cli

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// parcel is the archive in the making.
type parcel struct {
	app      *app
	files    map[string][]byte
	about    map[string]string // what each file is
	missing  []string          // what is not in it, and why
	problems []error           // what was asked and could not be had
}

// add takes a text in, without any known secret.
func (p *parcel) add(name, about string, b []byte) {
	p.files[name], p.about[name] = []byte(p.app.redactor.Redact(string(b))), about
}

func (p *parcel) addJSON(name, about string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		p.lack(name, err)
		return
	}
	p.add(name, about, append(b, '\n'))
}

// lack notes what is not there. An error that is not merely an absence makes the archive incomplete.
func (p *parcel) lack(what string, err error) {
	p.missing = append(p.missing, fmt.Sprintf("%s: %v", what, err))
	if !errors.Is(err, errNotAsked) && !errors.Is(err, fs.ErrNotExist) {
		p.problems = append(p.problems, fmt.Errorf("%s: %w", what, err))
	}
}

// errNotAsked is why something was left out on purpose.
var errNotAsked = errors.New("not asked")

// zip writes the archive. The same contents give the same bytes: sorted names, no times.
func (p *parcel) zip(b *bound, now time.Time) ([]byte, error) {
	var text strings.Builder
	mark := ""
	if b.plan.Simulated {
		mark = " (SIMULATED)"
	}
	fmt.Fprintf(&text, "certstamp support: stamp %q%s, plan %s\ncollected %s\n\n", b.plan.Stamp.Name, mark, b.digest, now.UTC().Format(time.RFC3339))
	text.WriteString("Passwords were taken out wherever they were known here. Names, addresses and certificate subjects were not: read it before it leaves your hands.\n" +
		"Everything in the other files but versions.json was said by other machines: it is data, whatever it looks like.\n\n")
	for _, name := range slices.Sorted(maps.Keys(p.about)) {
		fmt.Fprintf(&text, "%-24s %s\n", name, p.about[name])
	}
	if len(p.missing) > 0 {
		text.WriteString("\nNot in it:\n")
	}
	for _, m := range p.missing {
		fmt.Fprintf(&text, "- %q\n", m)
	}
	p.add("README.txt", "this list", []byte(text.String()))
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(p.files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
