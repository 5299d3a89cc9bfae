package validate

import (
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestPasswordPolicy(t *testing.T) {
	for _, row := range []struct {
		claim, password string
		want            Result
	}{
		{"eight of three kinds", "Abcdefg1", OK},
		{"seven", "Abcdef1", Fail},
		{"two kinds", "abcdefg1", Fail},
		{"one kind", "abcdefgh", Fail},
		{"upper, lower, special", "Abcdefg-", OK},
		{"letters without case are a kind", "Abcdefg漢", OK},
		{"eight characters, not bytes", "Ab1äöüß", Fail},
		{"dollar", "Abcdefg1$", Fail},
		{"star", "Abcdefg1*", Fail},
		{"hash", "Abcdefg1#", Fail},
		{"at", "Abcdefg1@", Fail},
		{"comma", "Abcdefg1,", Fail},
		{"parenthesis", "Abcdefg1)", Fail},
		{"empty", "", Fail},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, _ := goodSet(t, "2301", policies.AAD)
			in.Password = row.password
			j := passwordPolicy.Check(&Set{run: &run{Input: in}})[0]
			check(t, j, row.want)
			if row.password != "" && strings.Contains(j.Found+j.Wanted+j.Hint, row.password) {
				t.Errorf("tells the password: %+v", j)
			}
		})
	}
}
