package stamp

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/policies"
)

const (
	uncPattern     = `^\\\\[^\\/]+(\\[^\\/]+)+\\?$`
	backupPattern  = `^file:.+$`
	namesPattern   = `^[a-z0-9][a-z0-9-]{0,62}$`
	configPattern  = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`
	cloudPattern   = `^[A-Za-z0-9][A-Za-z0-9_.{}-]{0,127}$`
	bmcUserMax     = 16 // SEED: a BMC user name has at most 16 characters
	windowPattern  = `^\S+ \d{2}:\d{2}-\d{2}:\d{2} \S+$`
	resolvePattern = `^[^:]+:[0-9]+:.+$`
	runnerPattern  = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`
	notEmpty       = `\S`
)

// fields is the format: every key, what it takes, and where it goes in s.
func fields(s *Stamp, o Options) []field {
	return []field{
		{
			key: "name", required: true, help: "the stamp's short name, for example east", pattern: namePattern,
			form: "a name of lower-case letters, digits and hyphens, at most 63", read: func(v string) { s.Name = v },
			check: lowered(nameForm, "a name of lower-case letters, digits and hyphens, at most 63"),
		},
		{
			key: "region", required: true, help: "the region: the left-most label of every external name", pattern: labelPattern,
			form: "one DNS label", check: checkRegion, read: func(v string) { s.Region = v },
		},
		{
			key: "fqdn", required: true, help: "the external FQDN without the region", pattern: fqdnPattern, form: "a DNS name",
			check: checkFQDN, read: func(v string) { s.FQDN = v },
		},
		{
			key: "identity", required: true, help: "the identity system, AAD or ADFS", choices: []string{string(policies.AAD), string(policies.ADFS)},
			read: func(v string) { s.Identity = policies.Identity(v) },
		},
		{
			key: "version", required: true, kind: loose, help: "the build, as precisely as it is to be compared: 2301, azs-2301 or 1.2301.2.58",
			check: func(v string) (string, error) {
				parsed, err := policies.ParseVersion(v)
				s.Version = parsed
				return "", err
			}, read: func(string) {},
		},
		{
			key: "previously-rotated", kind: truth, help: "whether secrets were rotated before; asserted, needed below 1811",
			flagged: func(v bool) { s.PreviouslyRotated = &v },
		},
		{
			key: "optional-endpoints", kind: list, max: 32, pattern: namesPattern, form: "the name of an optional endpoint",
			help: "endpoints that exist only where they were installed, such as container-registry",
			each: func(v string) error {
				if o.OptionalEndpoints != nil && !slices.Contains(o.OptionalEndpoints, v) {
					return fmt.Errorf("no optional endpoint is named %s; there is %s", quoted(v), strings.Join(o.OptionalEndpoints, ", "))
				}
				s.OptionalEndpoints = append(s.OptionalEndpoints, v)
				return nil
			},
		},
		{
			key: "cloud-id", help: "the CloudID the stamp must report", pattern: cloudPattern, form: "a CloudID",
			read: func(v string) { s.CloudID = v },
		},
		{
			key: "simulated", kind: truth, help: "the stamp is a simulator on this machine; its cloud-id begins with SIMULATED",
			flagged: func(v bool) { s.Simulated = v },
		},
		{
			key: "port", kind: whole, min: 1, max: 65535, help: "the port of the external endpoints, default 443",
			counted: func(v int) { s.Port = v },
		},
		{
			key: "resolve", kind: list, max: 256, pattern: resolvePattern, form: "of the form NAME:PORT:ADDRESS or NAME:PORT:ADDRESS:PORT",
			help: "answers instead of DNS, as NAME:PORT:ADDRESS or NAME:PORT:ADDRESS:PORT; NAME may be *",
			each: func(v string) error {
				_, err := ParseResolution(v)
				s.Resolve = append(s.Resolve, v)
				return err
			},
		},
		{
			key: "installed-ca", kind: either, help: "how the CA of today's certificates is known, or the certificate itself",
			choices: []string{ModeEndpoints, ModeSelfSigned, ModeEnterprise, ModePublic}, read: func(v string) { s.InstalledCA.Mode = v },
			fields: []field{{
				key: "certificate", required: true, help: "a file that holds the installed certificate: PEM, DER, P7B or a PFX with the same password", pattern: notEmpty, form: "a path",
				check: s.inside(o, &s.InstalledCA.File), read: func(string) { s.InstalledCA.Mode = ModeFile },
			}},
		},
		{
			key: "public-roots", help: "a file with the roots of public CAs instead of the built-in ones: authroot.stl, .sst, PEM, DER or P7B",
			pattern: notEmpty, form: "a path", check: s.inside(o, &s.PublicRoots), read: func(string) {},
		},
		{
			key: "enterprise-roots", help: "a file with the roots of the operator's own CAs: .sst, PEM, DER or P7B",
			pattern: notEmpty, form: "a path", check: s.inside(o, &s.EnterpriseRoots), read: func(string) {},
		},
		{
			key: "certificates", help: "the directory of the PFX tree, default certificates", pattern: notEmpty, form: "a path",
			check: s.inside(o, &s.Certificates), read: func(string) {},
		},
		{
			key: "resource-providers", pattern: notEmpty, form: "a path",
			help:  "a directory with the certificates of resource providers, in AppServices/DefaultDomain, DBAdapter and so on; judged, never rotated",
			check: s.inside(o, &s.ResourceProviders), read: func(string) {},
		},
		{key: "pfx-password", role: secret.PFX, help: "reference to the password of the PFX files", ref: func(r secret.Ref) { s.PFXPassword = r }},
		{key: "age-identity", role: secret.PFX, help: "reference to the age identity that opens .pfx.age files", ref: func(r secret.Ref) { s.AgeIdentity = r }},
		{key: "share", kind: group, help: "where the stamp reads its certificates", fields: shareFields(s)},
		{key: "pep", kind: group, help: "the privileged endpoint", fields: pepFields(s, o)},
		{key: "bmc", kind: group, help: "the credential of the baseboard controllers", fields: bmcFields(s)},
		{
			key: "backup", help: "a directory off the share that holds the same set, as file:PATH", pattern: backupPattern, form: "file:PATH",
			read: func(v string) { s.Backup = strings.TrimPrefix(v, "file:") },
		},
		{
			key: "windows", kind: list, max: 64, pattern: windowPattern, form: `a window such as "Sat 22:00-04:00 Europe/Berlin"`,
			help: `when a rotation may start, such as "Sat 22:00-04:00 Europe/Berlin"`,
			each: func(v string) error {
				w, err := ParseWindow(v)
				s.Windows = append(s.Windows, w)
				return err
			},
		},
		{
			key: "policy", help: "a file that tightens the policy or waives with a reason and an end date", pattern: notEmpty, form: "a path",
			check: s.inside(o, &s.Policy), read: func(string) {},
		},
		{
			key: "runner", kind: list, min: 1, max: 16, pattern: runnerPattern, form: "a runner label of letters, digits, dots, hyphens and underscores",
			help: "the labels of the runner that reaches the stamp, for the jobs after the approval; default [self-hosted]",
			each: func(v string) error { s.Runner = append(s.Runner, v); return nil },
		},
	}
}

func shareFields(s *Stamp) []field {
	return []field{
		{
			key: "unc", required: true, help: `the share root as the stamp sees it, \\host\share`, pattern: uncPattern, form: `of the form \\host\share`,
			check: func(v string) (string, error) {
				unc, suggestion, err := parseUNC(v)
				s.Share.UNC = unc
				return suggestion, err
			}, read: func(string) {},
		},
		{
			key: "folder", help: "the same share as this machine sees it; needs --allow-path", pattern: notEmpty, form: "a path",
			read: func(v string) { s.Share.Folder = v },
		},
		{
			key: "signing-only", kind: truth, help: "accept a server that signs but does not encrypt; the set is then protected by its own password alone",
			flagged: func(v bool) { s.Share.SigningOnly = v },
		},
		{
			key: "user", required: true, help: "the account that publishes", pattern: notEmpty, form: "a user name",
			check: plainCheck(checkUser), read: func(v string) { s.Share.User = v },
		},
		{key: "password", required: true, role: secret.Share, help: "reference to its password", ref: func(r secret.Ref) { s.Share.Password = r }},
		{
			key: "access-user", help: "the account the stamp reads with, default user", pattern: notEmpty, form: "a user name",
			check: plainCheck(checkUser), read: func(v string) { s.Share.AccessUser = v },
		},
		{key: "access-password", role: secret.Share, help: "reference to its password, default password", ref: func(r secret.Ref) { s.Share.AccessPassword = r }},
	}
}

func pepFields(s *Stamp, o Options) []field {
	return []field{
		{
			key: "hosts", required: true, kind: list, min: 1, max: 16, pattern: notEmpty, form: "a host", help: "the ERCS machines, host or host:port",
			each: func(v string) error {
				_, _, err := splitHost(v)
				s.PEP.Hosts = append(s.PEP.Hosts, v)
				return err
			},
		},
		{
			key: "user", required: true, help: `the CloudAdmin account, DOMAIN\user`, pattern: notEmpty, form: "a user name",
			check: plainCheck(checkUser), read: func(v string) { s.PEP.User = v },
		},
		{key: "password", required: true, role: secret.PEP, help: "reference to its password", ref: func(r secret.Ref) { s.PEP.Password = r }},
		{key: "tls", kind: truth, help: "connect with HTTPS", flagged: func(v bool) { s.PEP.TLS = v }},
		{
			key: "pin", help: "sha256:HEX of the server's certificate, with tls", pattern: pinPattern, form: "sha256: and 64 lower-case hex digits",
			check: checkPin, read: func(v string) { s.PEP.Pin = v },
		},
		{
			key: "ca", help: "a PEM file with the CA of the server's certificate, with tls", pattern: notEmpty, form: "a path",
			check: s.inside(o, &s.PEP.CA), read: func(string) {},
		},
		{
			key: "configuration", help: "the session configuration, default PrivilegedEndpoint", pattern: configPattern,
			form: "a configuration name", read: func(v string) { s.PEP.Configuration = v },
		},
		{
			key: "transcripts", help: `a share as the stamp sees it, \\host\share, to which the endpoint's transcripts are moved after a rotation`,
			pattern: uncPattern, form: `of the form \\host\share`,
			check: func(v string) (string, error) {
				unc, suggestion, err := parseUNC(v)
				s.PEP.Transcripts = unc
				return suggestion, err
			}, read: func(string) {},
		},
		{
			key: "transcripts-user", help: "the account the stamp writes them with, default the share's access-user", pattern: notEmpty, form: "a user name",
			check: plainCheck(checkUser), read: func(v string) { s.PEP.TranscriptsUser = v },
		},
		{
			key: "transcripts-password", role: secret.Share, help: "reference to its password, default the share's access-password",
			ref: func(r secret.Ref) { s.PEP.TranscriptsPassword = r },
		},
	}
}

func bmcFields(s *Stamp) []field {
	return []field{
		{
			key: "update", help: "who changes the controllers: pep (default from 1910), redfish or external", choices: []string{"pep", "redfish", "external"},
			read: func(v string) { s.BMC.Update = v },
		},
		{key: "new-password", required: true, role: secret.BMC, help: "reference to the new password", ref: func(r secret.Ref) { s.BMC.NewPassword = r }},
		{
			key: "new-user", help: "the new user name, at most 16 characters", pattern: `^[!-~]{1,16}$`, form: "a user name of 1 to 16 visible ASCII characters",
			check: func(v string) (string, error) {
				if n := len([]rune(v)); n > bmcUserMax {
					return "", fmt.Errorf("%s has %d characters, at most %d are possible", quoted(v), n, bmcUserMax)
				}
				return "", nil
			}, read: func(v string) { s.BMC.NewUser = v },
		},
	}
}

func plainCheck(f func(string) error) func(string) (string, error) {
	return func(v string) (string, error) { return "", f(v) }
}

// lowered suggests the lower-case spelling when that would be accepted.
func lowered(form func() *regexp.Regexp, words string) func(string) (string, error) {
	return func(v string) (string, error) {
		if form().MatchString(v) {
			return "", nil
		}
		suggestion := strings.ToLower(strings.NewReplacer(" ", "-", "_", "-").Replace(strings.TrimSpace(v)))
		if !form().MatchString(suggestion) {
			suggestion = ""
		}
		return suggestion, fmt.Errorf("%s is not %s", quoted(v), words)
	}
}

func checkRegion(v string) (string, error) {
	if first, _, dots := strings.Cut(v, "."); dots && labelForm().MatchString(first) {
		return first, fmt.Errorf("%s has dots: the region is one DNS label", quoted(v))
	}
	return lowered(labelForm, "one DNS label of lower-case letters, digits and hyphens")(v)
}

func checkFQDN(v string) (string, error) {
	if len(v) > 200 {
		return "", errors.New("longer than 200 characters, which leaves no room for the endpoints' names")
	}
	if fqdnForm().MatchString(v) {
		return "", nil
	}
	suggestion := strings.ToLower(strings.Trim(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(v), "https://"), "*."), "./"))
	if !fqdnForm().MatchString(suggestion) {
		suggestion = ""
	}
	return suggestion, fmt.Errorf("%s is not a DNS name of lower-case letters, digits, hyphens and dots", quoted(v))
}

func checkPin(v string) (string, error) {
	bare := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(v, "sha256:"), "SHA256:"), ":", ""))
	if s := "sha256:" + bare; s != v && regexp.MustCompile(pinPattern).MatchString(s) {
		return s, fmt.Errorf("%s is not sha256: and 64 lower-case hex digits", quoted(v))
	}
	return "", nil
}

// inside checks a path of the file and stores it relative to the repository's root. Absolute paths must lie below one of
// the allowed ones, because a pull request may write anything here.
func (s *Stamp) inside(o Options, to *string) func(string) (string, error) {
	return func(v string) (string, error) {
		if absolute(v) {
			if !o.allows(v) {
				return "", fmt.Errorf("%s is outside the repository and not allowed with --allow-path", quoted(v))
			}
			*to = v
			return "", nil
		}
		if strings.Contains(v, `\`) {
			return strings.ReplaceAll(v, `\`, "/"), fmt.Errorf("%s: folders are separated by slashes", quoted(v))
		}
		joined := path.Join(s.Dir, v)
		if joined == ".." || strings.HasPrefix(joined, "../") {
			return "", fmt.Errorf("%s leads out of the repository", quoted(v))
		}
		*to = joined
		return "", nil
	}
}
