package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
)

// TestLogCommandReachesTheEndpoint: the ready command goes where certstamp goes, in PowerShell's words for it.
func TestLogCommandReachesTheEndpoint(t *testing.T) {
	for _, row := range []struct {
		pep  plan.PEP
		want string
	}{
		{plan.PEP{Hosts: []string{"10.20.1.11", "10.20.1.12"}}, "New-PSSession -ComputerName '10.20.1.11' -ConfigurationName 'PrivilegedEndpoint' -Credential"},
		{plan.PEP{Hosts: []string{"10.20.1.11:15985"}}, "-ComputerName '10.20.1.11' -Port '15985' -ConfigurationName 'PrivilegedEndpoint'"},
		{plan.PEP{Hosts: []string{"ercs01:15986"}, TLS: true, Configuration: "Maint'enance"}, "-ComputerName 'ercs01' -Port '15986' -UseSSL -ConfigurationName 'Maint''enance'"},
		{plan.PEP{Hosts: []string{"ercs01"}, TLS: true}, "-ComputerName 'ercs01' -UseSSL -ConfigurationName"},
		{plan.PEP{Hosts: []string{"[fd00::1]:5985"}}, "-ComputerName 'fd00::1' -Port '5985'"},
		{plan.PEP{Hosts: []string{"fd00::1"}}, "-ComputerName 'fd00::1' -ConfigurationName"},
		{plan.PEP{}, "-ComputerName 'ERCS-ADDRESS' -ConfigurationName 'PrivilegedEndpoint'"},
	} {
		p := &plan.Plan{Rotate: &plan.RotateSection{PEP: row.pep}}
		if got := logCommand(p, time.Unix(0, 0), time.Unix(0, 0)); !strings.Contains(got, row.want) {
			t.Errorf("%+v: wanted %q in\n%s", row.pep, row.want, got)
		}
	}
}
