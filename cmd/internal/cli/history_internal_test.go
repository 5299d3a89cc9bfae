package cli

import (
	"strings"
	"testing"
)

// FuzzChanges: whatever git says, a list of changes holds whole names and statuses we know, and all of them.
func FuzzChanges(f *testing.F) {
	f.Add([]byte("M\x00a\nb\x00D\x00::error::\x00"))
	f.Add([]byte("R100\x00a\x00b\x00"))
	f.Add([]byte("M\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseChanges(b)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, c := range list {
			if c.path == "" || !strings.ContainsRune("ADMT", rune(c.status)) {
				t.Fatalf("%q gives %+v", b, c)
			}
			again.WriteString(string(c.status) + "\x00" + c.path + "\x00")
		}
		if again.String() != string(b) {
			t.Fatalf("%q gives %q", b, again.String())
		}
	})
}
