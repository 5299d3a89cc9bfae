package cli

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/rotate/pep"
)

// around is how much of the logs before and after the rotation is wanted: what led to it, and what became of it.
const around = 30 * time.Minute

// rotationTimes are those of the action, else of what certstamp did.
func rotationTimes(b *bound, last pep.Status, runs []keptRun, now time.Time) (from, to time.Time) {
	from, to = last.Started, last.Ended
	if from.IsZero() {
		from = now.Add(-4 * time.Hour)
		if len(runs) > 0 {
			if at, err := time.Parse(time.RFC3339, runs[0].Time); err == nil {
				from = at.Add(-runs[0].Outcome.Took)
			}
		} else if at, err := time.Parse(time.RFC3339, b.plan.AsOf); err == nil && at.After(from) {
			from = at
		}
	}
	if to.IsZero() || to.Before(from) {
		to = now
	}
	return from.Add(-around).UTC(), to.Add(around).UTC()
}

// logCommand is what a person runs on the workstation that reaches the endpoint. Scripts are not allowed there, so
// everything is an argument. No role is filtered out: which ones a rotation touches is documented nowhere.
func logCommand(p *plan.Plan, from, until time.Time) string {
	to, user := "-ComputerName 'ERCS-ADDRESS' -ConfigurationName "+quotePS(stamp.DefaultConfiguration), `DOMAIN\CloudAdmin`
	if e := pepSection(p); e != nil {
		user = e.User
		if len(e.Hosts) > 0 {
			to = connectionPS(e)
		}
	}
	const layout = "2006-01-02T15:04:05Z"
	return fmt.Sprintf(`# Run this in Windows PowerShell on the workstation that may reach the privileged endpoint, with a share of your own for \\SERVER\LOGS.
# Not the share of the certificates: logs are large, and private keys lie there.
$share   = Get-Credential -Message 'an account that may write to the share'
$option  = New-PSSessionOption -Culture en-US -UICulture en-US
$session = New-PSSession %s -Credential (Get-Credential %s) -SessionOption $option
Invoke-Command -Session $session -ScriptBlock { param($path, $credential, $from, $to)
    Get-AzureStackLog -OutputSharePath $path -OutputShareCredential $credential -FromDate $from -ToDate $to
} -ArgumentList '\\SERVER\LOGS', $share, ([DateTime]::Parse('%s').ToUniversalTime()), ([DateTime]::Parse('%s').ToUniversalTime())
Remove-PSSession $session
`, to, quotePS(user), from.Format(layout), until.Format(layout))
}

// connectionPS are the parameters by which New-PSSession reaches the first host of an endpoint as we do: it takes no port
// inside the name.
func connectionPS(e *plan.PEP) string {
	host, port, err := net.SplitHostPort(e.Hosts[0])
	if err != nil {
		host, port = strings.Trim(e.Hosts[0], "[]"), ""
	}
	configuration := e.Configuration
	if configuration == "" {
		configuration = stamp.DefaultConfiguration
	}
	out := "-ComputerName " + quotePS(host)
	if port != "" {
		out += " -Port " + quotePS(port)
	}
	if e.TLS {
		out += " -UseSSL"
	}
	return out + " -ConfigurationName " + quotePS(configuration)
}

func pepSection(p *plan.Plan) *plan.PEP {
	switch {
	case p.Rotate != nil:
		return &p.Rotate.PEP
	case p.BMC != nil:
		return &p.BMC.PEP
	}
	return nil
}

// quotePS makes one literal for PowerShell, which ends a string also at typographic quotes.
func quotePS(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			continue
		}
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}
