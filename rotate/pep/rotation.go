package pep

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/plan"
)

const startCmdlet = "Start-SecretRotation"

// rotationTypes are the parameters of Start-SecretRotation (ROT-2210, PEPREF).
var rotationTypes = map[string]string{
	"pfxfilespath": typeString, "pathaccesscredential": typeCredential, "certificatepassword": typeSecureString,
	"internal": typeSwitch, "rerun": typeSwitch,
}

var externalParameters = []string{"pfxfilespath", "pathaccesscredential", "certificatepassword"}

// CheckRotation refuses a call that no document describes: an unknown parameter, a path that does not end in
// \Certificates, an external call without one of its three parameters, or one mixed with -Internal or -ReRun.
func CheckRotation(call plan.Call) error {
	refuse := func(format string, args ...any) error {
		return &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: fmt.Sprintf(format, args...), Todo: "make the plan again"}
	}
	if call.Cmdlet != startCmdlet {
		return refuse("a rotation is started by %s", startCmdlet)
	}
	external := 0
	for _, p := range call.Parameters {
		name := strings.ToLower(p.Name)
		want, ok := rotationTypes[name]
		switch {
		case !ok:
			return refuse("-%s is not a parameter of a rotation", cut(p.Name, 64))
		case want != p.Type:
			return refuse("-%s is a %s, the plan has %q", p.Name, want, cut(p.Type, 64))
		case name == "pfxfilespath" && !certificatesPath(p.Value):
			return &RefusedError{
				Cmdlet: startCmdlet, Why: fmt.Sprintf(`the path %q does not end in \Certificates`, cut(p.Value, 512)),
				Todo: `the share root goes into stamp.yaml; the plan adds \Certificates, and never AAD or ADFS`,
			}
		}
		if slices.Contains(externalParameters, name) {
			external++
		}
	}
	if external != 0 && (external != len(externalParameters) || len(call.Parameters) != external) {
		return refuse("an external rotation has exactly -PfxFilesPath, -PathAccessCredential and -CertificatePassword")
	}
	return nil
}

// certificatesPath holds the path to \\host\share[\...]\Certificates.
func certificatesPath(p string) bool {
	return strings.HasPrefix(p, `\\`) && strings.HasSuffix(p, `\Certificates`) && strings.Count(p, `\`) >= 4 &&
		!strings.ContainsAny(p, "\r\n\x00/\"")
}

// StartSecretRotation starts a rotation and stays until it ends. It is sent at most once. Cancelling ctx leaves the
// rotation running and ends in an error that is Unknown.
func (s *Session) StartSecretRotation(ctx context.Context, call plan.Call, secrets Secrets, sink Sink) (Reply, error) {
	if err := CheckRotation(call); err != nil {
		return Reply{}, err
	}
	cmd, err := command(call, secrets)
	if err != nil {
		return Reply{}, err
	}
	return s.invoke(ctx, cmd, true, sink)
}

// Said is what the console text of a rotation says about its end.
type Said struct {
	Success    bool   // a text that means success was there, and no other end after it
	Failed     bool   // the last final status named is another one
	Line       string // the line that decided
	InstanceID string // of the action plan, when the text names it
}

var (
	finalStatus = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)(?:overall action status|action plan finished with status|currentstatus)\s*:\s*'?([A-Za-z]+)`)
	})
	instanceID = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)ActionPlanInstanceID\s*:\s*\{?([0-9a-f-]{36})\}?`)
	})
)

// Read looks for the end of a rotation in its console text, in the words of every release: the given texts, or any of the
// three ways in which releases name a final status (SEED, ROT-2101, ROT-2210). The last one counts.
func Read(records []Record, success []string) Said {
	var said Said
	for _, r := range records {
		if r.Kind != OutputRecord && r.Kind != InformationRecord && r.Kind != VerboseRecord {
			continue
		}
		for line := range strings.Lines(r.Text) {
			line = strings.TrimSpace(line)
			if m := instanceID().FindStringSubmatch(line); m != nil {
				said.InstanceID = m[1]
			}
			if m := finalStatus().FindStringSubmatch(line); m != nil {
				switch stateOf(m[1]) {
				case Completed:
					said.Success, said.Failed, said.Line = true, false, cut(line, 512)
				case Failed:
					said.Success, said.Failed, said.Line = false, true, cut(line, 512)
				}
			} else if !said.Failed && slices.ContainsFunc(success, func(text string) bool { return means(line, text) }) {
				said.Success, said.Line = true, cut(line, 512)
			}
		}
	}
	return said
}

// means compares a line with a text. A single word must be the whole line: DONE also occurs in prose.
func means(line, text string) bool {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return false
	case !strings.ContainsAny(text, " :"):
		return strings.EqualFold(line, text)
	}
	return strings.Contains(strings.ToLower(line), strings.ToLower(text))
}

// CheckTranscripts refuses a call that does anything but move transcripts to a share.
func CheckTranscripts(call plan.Call) error {
	want := map[string]string{"TranscriptsPathDestination": typeString, "Credential": typeCredential}
	ok := call.Cmdlet == "Close-PrivilegedEndpoint" && len(call.Parameters) == len(want)
	for _, p := range call.Parameters {
		ok = ok && want[p.Name] == p.Type && (p.Type != typeString || strings.HasPrefix(p.Value, `\\`))
	}
	if !ok {
		return &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: "it is not how transcripts are moved to a share", Todo: "make the plan again"}
	}
	return nil
}

// ArchiveTranscripts moves the endpoint's transcripts to a share. Its failure says nothing about what was done before.
func (s *Session) ArchiveTranscripts(ctx context.Context, call plan.Call, secrets Secrets) error {
	if err := CheckTranscripts(call); err != nil {
		return err
	}
	cmd, err := command(call, secrets)
	if err != nil {
		return err
	}
	reply, err := s.invoke(ctx, cmd, true, nil)
	if err == nil && len(reply.Errors) > 0 {
		err = &CommandError{Cmdlet: call.Cmdlet, State: "Completed", Record: reply.Errors[0]}
	}
	return err
}
