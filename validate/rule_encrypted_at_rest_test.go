package validate

import "testing"

func TestEncryptedAtRest(t *testing.T) {
	for _, row := range []struct {
		claim   string
		file    File
		without bool
		want    Result
	}{
		{"bare, by someone with the password", File{Path: "a/a.pfx"}, false, OK},
		{"bare, in a pull request", File{Path: "a/a.pfx"}, true, Warning},
		{"named .age", File{Path: "a/a.pfx.AGE"}, true, OK},
		{"an age file under another name", File{Path: "a/a.pfx", Blob: []byte("age-encryption.org/v1\n")}, true, OK},
		{"an armoured age file", File{Path: "a/a.pfx", Blob: []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")}, true, OK},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := &Subject{aged: aged(row.file), run: &run{Input: Input{NoPassword: row.without}}}
			check(t, encryptedAtRest.Check(s), row.want)
		})
	}
}
