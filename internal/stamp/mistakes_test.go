package stamp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const minimal = `name: east
region: east
fqdn: azurestack.contoso.com
identity: AAD
version: 2301
`

const simulatedSample = `name: sim
region: sim
fqdn: azurestack.contoso.com
identity: ADFS
version: 1.1810
simulated: true
cloud-id: SIMULATED-1
port: 8443
resolve: ["*:8443:127.0.0.1:9443", "ercs01:15985:[::1]:16985"]
installed-ca: {certificate: old.crt}
share: {unc: '\\127.0.0.1\certs', user: u, password: env:SHARE_P, access-user: v, access-password: file:/run/p}
pep: {hosts: ["127.0.0.1:15985", localhost, ercs01, "[::1]:15985"], user: a@b, password: "file:C:\\p", tls: true, pin: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
bmc: {update: external, new-password: env:BMC_P}
windows: ["daily 00:00-24:00 UTC", "Mon-Fri,Sun 22:00-04:30 America/New_York"]
`

// good files are accepted by Load and by the schema.
var good = map[string]string{"sample": sample, "minimal": minimal, "simulated": simulatedSample, "byte order mark": "\ufeff" + minimal}

// mistakes each change the minimal file, and want one problem.
var mistakes = []mistake{
	{claim: "unknown key", with: "identiy: AAD", at: "6:1", want: `unknown key "identiy"`, suggest: "identity", shape: true},
	{claim: "unknown key far from any", with: "frobnicate: 1", at: "6:1", want: `unknown key "frobnicate"`, shape: true},
	{claim: "unknown key in a group", with: "pep: {hosts: [h], user: u, password: env:PEP_P, pasword: env:PEP_P}", at: "6:49", want: `unknown key "pasword" in pep`, suggest: "password", shape: true},
	{claim: "a runner label that could be an expression", with: "runner: [self-hosted, '${{ x }}']", at: "6:23", want: "is not a runner label", shape: true},
	{claim: "a runner as a text", with: "runner: self-hosted", at: "6:9", want: "must be a list", shape: true},
	{claim: "no runner labels", with: "runner: []", at: "6:9", want: "at least 1", shape: true},
	{claim: "a runner label twice", with: "runner: [a, a]", at: "6:13", want: "twice", shape: true},
	{claim: "missing key", replace: "version", at: "1:1", want: `"version" is missing`, shape: true},
	{claim: "missing key in a group", with: "pep: {hosts: [h], user: u}", at: "6:6", want: `"pep.password" is missing`, shape: true},
	{claim: "duplicate key", with: "region: west", at: "6:1", want: `key "region" is given twice, first in line 2`},
	{claim: "bad name", replace: "name", with: "name: East One", at: "5:7", want: "is not a name", suggest: "east-one", shape: true},
	{claim: "64 letters of name", replace: "name", with: "name: " + strings.Repeat("a", 64), at: "5:7", want: "is not a name", shape: true},
	{claim: "a number for a text", replace: "name", with: "name: 7", at: "5:7", want: "name must be a text (put quotes around it), found a number", shape: true},
	{claim: "nothing for a text", with: "policy:", at: "6:8", want: "policy must be a text, found nothing", shape: true},
	{claim: "upper-case region", replace: "region", with: "region: East", at: "5:9", want: "is not one DNS label", suggest: "east", shape: true},
	{claim: "region with dots", replace: "region", with: "region: east.contoso.com", at: "5:9", want: "one DNS label", suggest: "east", shape: true},
	{claim: "region with a hyphen at the end", replace: "region", with: "region: east-", at: "5:9", want: "one DNS label", shape: true},
	{claim: "fqdn repeats the region", replace: "fqdn", with: "fqdn: east.azurestack.contoso.com", at: "5:7", want: "repeats the region", suggest: "azurestack.contoso.com"},
	{claim: "fqdn as a URL", replace: "fqdn", with: "fqdn: https://azurestack.contoso.com/", at: "5:7", want: "is not a DNS name", suggest: "azurestack.contoso.com", shape: true},
	{claim: "fqdn with a dot at the end", replace: "fqdn", with: "fqdn: azurestack.contoso.com.", at: "5:7", want: "is not a DNS name", suggest: "azurestack.contoso.com", shape: true},
	{claim: "identity in lower case", replace: "identity", with: "identity: adfs", at: "5:11", want: `"adfs" is not one of AAD, ADFS`, suggest: "ADFS", shape: true},
	{claim: "identity with a space", replace: "identity", with: "identity: AD FS", at: "5:11", want: "is not one of", suggest: "ADFS", shape: true},
	{claim: "version of another form", replace: "version", with: "version: 23.01", at: "5:10", want: "not of the form"},
	{claim: "version with a month 13", replace: "version", with: "version: 1.2313.0.1", at: "5:10", want: "month"},
	{claim: "a word for a flag", with: "previously-rotated: yes", at: "6:21", want: "must be true or false, found a text", shape: true},
	{claim: "a text for a list", with: "optional-endpoints: container-registry", at: "6:21", want: "must be a list, found a text", shape: true},
	{claim: "an item given twice", with: "optional-endpoints: [a, A]", at: "6:25", want: "is given twice"},
	{claim: "a cloud-id of a simulator", with: "cloud-id: SIMULATED-1", at: "6:11", want: "belongs to a simulator"},
	{claim: "port 0", with: "port: 0", at: "6:7", want: "from 1 to 65535", shape: true},
	{claim: "port 65536", with: "port: 65536", at: "6:7", want: "from 1 to 65535", shape: true},
	{claim: "a port in octal", with: "port: 0443", at: "6:7", want: "from 1 to 65535"},
	{claim: "a port in hexadecimal", with: "port: 0x1bb", at: "6:7", want: "from 1 to 65535"},
	{claim: "a port with a fraction", with: "port: 443.5", at: "6:7", want: "from 1 to 65535", shape: true},
	{claim: "a date for a text", replace: "name", with: "name: 2026-01-01", at: "5:7", want: "found a date", shape: true},
	{claim: "resolve without a port", with: "resolve: [portal]", at: "6:11", want: "NAME:PORT:ADDRESS", shape: true},
	{claim: "resolve to a name", with: "resolve: ['a:443:b']", at: "6:11", want: "is not an IP address"},
	{claim: "resolve to this machine", with: "resolve: ['*:443:127.0.0.2']", at: "6:11", want: "only a simulated stamp"},
	{claim: "resolve to this machine as mapped IPv6", with: "resolve: ['*:443:[::ffff:127.0.0.1]']", at: "6:11", want: "only a simulated stamp"},
	{claim: "resolve to the unspecified address", with: "resolve: ['*:443:0.0.0.0']", at: "6:11", want: "no address to connect to"},
	{claim: "installed-ca of another kind", with: "installed-ca: selfsigned", at: "6:15", want: "is not one of", suggest: "self-signed", shape: true},
	{claim: "installed-ca with another key", with: "installed-ca: {certificate: x, file: x}", at: "6:32", want: `unknown key "file"`, shape: true},
	{claim: "roots outside the repository", with: "public-roots: /etc/ssl/certs/ca-certificates.crt", at: "6:15", want: "outside the repository"},
	{claim: "own roots outside the repository", with: "enterprise-roots: ../../../etc/roots.pem", at: "6:19", want: "leads out of the repository"},
	{claim: "a path that leaves the repository", with: "certificates: ../../../etc", at: "6:15", want: "leads out of the repository"},
	{claim: "an absolute path", with: "policy: /etc/policy.yaml", at: "6:9", want: "--allow-path"},
	{claim: "an absolute Windows path", with: `policy: C:\policy.yaml`, at: "6:9", want: "--allow-path"},
	{claim: "backslashes in a path", with: `policy: a\policy.yaml`, at: "6:9", want: "slashes", suggest: "a/policy.yaml"},
	{claim: "a literal secret", with: "pfx-password: hunter2", at: "6:15", want: "a secret is a reference", shape: true},
	{claim: "a literal secret that is a number", with: "pfx-password: 1234567", at: "6:15", want: "a reference, env:PFX_NAME", shape: true},
	{claim: "a secret of another role", with: "pfx-password: env:PEP_PASSWORD", at: "6:15", want: "begin with PFX_", shape: true},
	{claim: "a secret of another role in a group", with: "bmc: {new-password: env:SHARE_PASSWORD}", at: "6:21", want: "begin with BMC_", shape: true},
	{claim: "unc that ends in Certificates", with: share(`\\10.20.0.5\certs\Certificates`), at: "6:14", want: "the share root is wanted", suggest: `\\10.20.0.5\certs`},
	{claim: "unc that ends in Certificates and AAD", with: share(`\\10.20.0.5\certs\Certificates\AAD\`), at: "6:14", want: "the share root is wanted", suggest: `\\10.20.0.5\certs`},
	{claim: "unc that ends in adfs", with: share(`\\10.20.0.5\certs\adfs`), at: "6:14", want: "the share root is wanted", suggest: `\\10.20.0.5\certs`},
	{claim: "unc with slashes", with: share(`//10.20.0.5/certs`), at: "6:14", want: `written \\host\share`, suggest: `\\10.20.0.5\certs`, shape: true},
	{claim: "unc as a URL", with: share(`smb://10.20.0.5/certs`), at: "6:14", want: `written \\host\share`, suggest: `\\10.20.0.5\certs`, shape: true},
	{claim: "unc with one backslash", with: share(`\10.20.0.5\certs`), at: "6:14", want: `written \\host\share`, suggest: `\\10.20.0.5\certs`, shape: true},
	{claim: "unc without a share", with: share(`\\10.20.0.5`), at: "6:14", want: `written \\host\share`, shape: true},
	{claim: "unc over WebDAV", with: share(`\\10.20.0.5@8080\certs`), at: "6:14", want: "no port and no user"},
	{claim: "unc as a device", with: share(`\\?\UNC\10.20.0.5\certs`), at: "6:14", want: "device paths"},
	{claim: "unc with dots", with: share(`\\10.20.0.5\certs\..\x`), at: "6:14", want: "empty, . or .. part"},
	{claim: "unc to this machine", with: share(`\\127.0.0.1\certs`), at: "6:14", want: "only a simulated stamp"},
	{claim: "one half of an access account", with: `share: {unc: '\\h\s', user: u, password: env:SHARE_P, access-user: v}`, at: "6:8", want: "together or not at all"},
	{claim: "transcripts at no account", with: `pep: {hosts: [10.20.1.11], user: u, password: env:PEP_P, transcripts: '\\h\t'}`, at: "6:71", want: "transcripts-user and transcripts-password"},
	{claim: "half an account for transcripts", with: `pep: {hosts: [10.20.1.11], user: u, password: env:PEP_P, transcripts: '\\h\t', transcripts-user: v}`, at: "6:6", want: "together or not at all"},
	{claim: "an account for no transcripts", with: `pep: {hosts: [10.20.1.11], user: u, password: env:PEP_P, transcripts-user: v, transcripts-password: env:SHARE_P}`, at: "6:76", want: "does nothing without transcripts"},
	{claim: "no hosts", with: pep("[]"), at: "6:14", want: "at least 1", shape: true},
	{claim: "a host with a scheme", with: pep(`["http://10.0.0.1:5985"]`), at: "6:15", want: "port"},
	{claim: "a host in the short form of inet_aton", with: pep(`["127.1"]`), at: "6:15", want: "write IPv4 as four numbers"},
	{claim: "a host as one number", with: pep(`["2130706433"]`), at: "6:15", want: "write IPv4 as four numbers"},
	{claim: "a host in hexadecimal", with: pep(`["0x7f000001"]`), at: "6:15", want: "write IPv4 as four numbers"},
	{claim: "a host on this machine", with: pep(`["LocalHost:5985"]`), at: "6:15", want: "only a simulated stamp"},
	{claim: "a host on this machine in IPv6", with: pep(`["[::1]:5985"]`), at: "6:15", want: "only a simulated stamp"},
	{claim: "the same host twice", with: pep(`["10.0.0.1", "10.0.0.1:5985"]`), at: "6:27", want: "same as pep.hosts[0]"},
	{claim: "a user with an empty domain", with: `pep: {hosts: [h], user: '\x', password: env:PEP_P}`, at: "6:25", want: "is not a user name"},
	{claim: "a pin without tls", with: "pep: {hosts: [h], user: u, password: env:PEP_P, pin: 'sha256:" + strings.Repeat("0", 64) + "'}", at: "6:54", want: "does nothing without tls"},
	{claim: "a pin in another spelling", with: "pep: {hosts: [h], user: u, password: env:PEP_P, tls: true, pin: '" + strings.Repeat("AB", 32) + "'}", at: "6:65", want: "is not sha256:", suggest: "sha256:" + strings.Repeat("ab", 32), shape: true},
	{claim: "bmc.update of another kind", with: "bmc: {update: refish, new-password: env:BMC_P}", at: "6:15", want: "is not one of", suggest: "redfish", shape: true},
	{claim: "a BMC user of 17 characters", with: "bmc: {new-password: env:BMC_P, new-user: abcdefghijklmnopq}", at: "6:42", want: "at most 16", shape: true},
	{claim: "backup without file:", with: "backup: /secure/east", at: "6:9", want: "is not file:PATH", shape: true},
	{claim: "a window without a zone", with: "windows: ['Sat 22:00-04:00']", at: "6:11", want: "is not a window", shape: true},
	{claim: "a window on no day", with: "windows: ['Samstag 22:00-04:00 UTC']", at: "6:11", want: "is no day"},
	{claim: "a window in no zone", with: "windows: ['Sat 22:00-04:00 Europe/Berln']", at: "6:11", want: "no time zone"},
	{claim: "a window at 25 o'clock", with: "windows: ['Sat 25:00-04:00 UTC']", at: "6:11", want: "not a time of day"},
	{claim: "a window that ends when it begins", with: "windows: ['Sat 04:00-04:00 UTC']", at: "6:11", want: "whole day"},
	{claim: "a window in the local zone", with: "windows: ['Sat 22:00-04:00 Local']", at: "6:11", want: "another zone on every machine"},
	{claim: "an anchor", with: "policy: &x p.yaml", at: "6:9", want: "anchors are not used"},
	{claim: "an alias", with: "policy: *x", at: "6:9", want: "aliases are not used"},
	{claim: "a merge key", with: "<<: {policy: p}", at: "6:1", want: "merge keys are not used"},
	{claim: "a tag", with: "policy: !!binary aGk=", at: "6:9", want: "tags are not used"},
	{claim: "a list as a key", with: "? [a]\n: b", at: "6:3", want: "a key is a word"},
	{claim: "a text with a line end", with: `policy: "a\nb"`, at: "6:9", want: "control characters"},
	{claim: "a text that reads backwards", with: "policy: \"a\\u202Eb\"", at: "6:9", want: "control characters"},
	{claim: "a simulated stamp without a marked cloud-id", with: "simulated: true", at: "6:12", want: "must begin with SIMULATED"},
	{claim: "a simulated stamp with a real host", with: "simulated: true\ncloud-id: SIMULATED-1\n" + pep("[10.0.0.1]"), at: "8:15", want: "not a loopback address"},
	{claim: "a simulated stamp with a name nobody answers", with: "simulated: true\ncloud-id: SIMULATED-1\n" + pep("[ercs01]"), at: "8:15", want: "not a loopback address"},
	{claim: "a simulated stamp that resolves to a real host", with: "simulated: true\ncloud-id: SIMULATED-1\nresolve: ['*:443:10.0.0.1']", at: "8:11", want: "not a loopback address"},
}

func share(unc string) string {
	return "share: {unc: '" + unc + "', user: u, password: env:SHARE_P}"
}

func pep(hosts string) string { return "pep: {hosts: " + hosts + ", user: u, password: env:PEP_P}" }

type mistake struct {
	claim   string
	replace string // a line's key that is dropped from the minimal file
	with    string // appended
	at      string // line:column
	want    string // in the message
	suggest string
	shape   bool // the schema refuses it too
}

func (m mistake) text() string {
	var b strings.Builder
	for line := range strings.Lines(minimal) {
		if m.replace == "" || !strings.HasPrefix(line, m.replace+":") {
			b.WriteString(line)
		}
	}
	return b.String() + m.with + "\n"
}

func TestMistakes(t *testing.T) {
	for _, row := range mistakes {
		t.Run(row.claim, func(t *testing.T) {
			_, err := load(t, row.text())
			var problems Errors
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want a list of mistakes", err)
			}
			if len(problems) != 1 {
				t.Fatalf("got %d mistakes, want one:\n%v", len(problems), problems)
			}
			p := problems[0]
			if at := fmt.Sprintf("%d:%d", p.Line, p.Column); at != row.at {
				t.Errorf("%v\nis reported at %s, want %s", p, at, row.at)
			}
			if !strings.Contains(p.Message, row.want) {
				t.Errorf("got %q, want it to contain %q", p.Message, row.want)
			}
			if p.Suggestion != row.suggest {
				t.Errorf("%q suggests %q, want %q", p.Message, p.Suggestion, row.suggest)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "1234567") {
				t.Errorf("the secret is repeated: %v", err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := load(t, "name: East\nregion: east\nfqdn: east.contoso.com\nidentiy: AAD\nversion: 1\npfx-password: secret\nshare: {unc: '\\\\h\\s\\AAD'}\n")
	want := []string{
		`stamps/east/stamp.yaml:1:7: name: "East" is not a name of lower-case letters, digits and hyphens, at most 63, did you mean "east"?`,
		`stamps/east/stamp.yaml:3:7: fqdn: "east.contoso.com" repeats the region "east"; the FQDN is written without it, did you mean "contoso.com"?`,
		`stamps/east/stamp.yaml:4:1: unknown key "identiy", did you mean "identity"?`,
		`stamps/east/stamp.yaml:5:10: version: version "1" is not of the form 2301, azs-2301 or 1.2301.2.58`,
		`stamps/east/stamp.yaml:6:15: pfx-password: a secret is a reference: env:PFX_NAME or file:PATH, never the value itself`,
		`stamps/east/stamp.yaml:7:8: "share.user" is missing: the account that publishes`,
		`stamps/east/stamp.yaml:7:8: "share.password" is missing: reference to its password`,
		`stamps/east/stamp.yaml:7:14: share.unc: "\\h\s\AAD": the share root is wanted, certstamp adds Certificates\AAD or Certificates\ADFS itself, did you mean "\\h\s"?`,
	}
	if diff := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}
