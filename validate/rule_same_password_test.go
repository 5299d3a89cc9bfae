package validate

import (
	"testing"

	"github.com/certstamp/certstamp/pfx"
)

func TestSamePassword(t *testing.T) {
	open := func() *Subject { return &Subject{Folder: "ACSBlob", Bundle: &pfx.Bundle{}} }
	closed := func() *Subject { return &Subject{Folder: "ACSTable", openErr: pfx.ErrPassword} }
	broken := func() *Subject { return &Subject{Folder: "ACSQueue", readErr: pfx.ErrFormat} }
	for _, row := range []struct {
		claim    string
		subjects []*Subject
		without  bool
		want     Result
		found    string
	}{
		{"all open", []*Subject{open(), open()}, false, OK, ""},
		{"one closed", []*Subject{open(), closed()}, false, Fail, `"ACSTable"`},
		{"all closed", []*Subject{closed(), closed()}, false, Fail, "opens no file"},
		{"a broken file has no password", []*Subject{open(), broken()}, false, OK, ""},
		{"all broken", []*Subject{broken()}, false, Skipped, ""},
		{"none", nil, false, Skipped, ""},
		{"without password", []*Subject{broken()}, true, Skipped, "no password"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			check(t, samePassword.Check(&Set{Subjects: row.subjects, run: &run{Input: Input{NoPassword: row.without}}})[0], row.want, row.found)
		})
	}
}
