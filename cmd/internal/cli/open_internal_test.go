package cli

import (
	"slices"
	"testing"
)

// TestRepositoryOf: a plan that was made by hand names the repository as the jobs of its CI system do.
func TestRepositoryOf(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/contoso/stamps.git":                      "contoso/stamps",
		"https://github.com/contoso/stamps":                          "contoso/stamps",
		"https://user:ghp_secret@github.com/contoso/stamps.git/":     "contoso/stamps",
		"git@github.com:contoso/stamps.git":                          "contoso/stamps",
		"ssh://git@ghe.contoso.example:2222/contoso/stamps.git":      "contoso/stamps",
		"https://gitlab.contoso.example/platform/azure/stamps.git":   "platform/azure/stamps",
		"https://contoso@dev.azure.com/contoso/platform/_git/stamps": "stamps",
		"https://dev.azure.com/contoso/_git/stamps":                  "stamps",
		"git@ssh.dev.azure.com:v3/contoso/platform/stamps":           "stamps",
		"/srv/git/stamps.git":                                        "/srv/git/stamps.git",
		"file:///srv/git/stamps.git":                                 "file:///srv/git/stamps.git",
		`C:\git\stamps`:                                              `C:\git\stamps`,
		"../stamps":                                                  "../stamps",
		"":                                                           "",
		"https://ghp_secret@github.com":                              "",
	} {
		if got := repositoryOf(remote); got != want {
			t.Errorf("%q is %q, want %q", remote, got, want)
		}
	}
}

// TestReach: what a person reads before credentials go to a target that nobody pinned.
func TestReach(t *testing.T) {
	for name, row := range map[string]struct {
		to   reach
		want []string
	}{
		"over SMB": {
			reach{hosts: []string{"10.0.0.1", "10.0.0.2"}, user: `A\admin`, unc: `\\fs\certs`, shareUser: `C\stager`},
			[]string{`privileged endpoint 10.0.0.1, 10.0.0.2 as A\admin`, `share \\fs\certs as C\stager`},
		},
		"a folder":      {reach{unc: `\\fs\certs`, folder: "/mnt/certs", shareUser: `C\stager`}, []string{`share \\fs\certs, here /mnt/certs`}},
		"of a bmc plan": {reach{hosts: []string{"10.0.0.1"}, user: `A\admin`}, []string{`privileged endpoint 10.0.0.1 as A\admin`}},
		"nothing":       {reach{}, nil},
	} {
		if got := row.to.lines(); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
