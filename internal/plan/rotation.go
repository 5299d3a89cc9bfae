package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// external plans new external certificates, or the same ones once more after a failure.
func (m *maker) external() {
	in := m.in
	m.firstRotation()
	m.certificates()
	m.share()
	kind := "external"
	if in.Kind == Rerun {
		kind = "rerun"
	}
	call, ok := in.Policy.Rotation(in.Version, kind)
	if !ok {
		return // the release is refused already
	}
	combined, _ := in.Policy.Rotation(in.Version, "external")
	if combined.Combined {
		switch {
		case in.Combined == "" && m.intent:
			m.notice("not known before the plan: whether who makes it acknowledges the next line with --combined; without that there is none")
		case in.Combined == "":
			m.refuse("combined-rotation", "Combined Rotation", "this release rotates internal secrets in the same run",
				"an acknowledgement", "acknowledge with plan --combined REASON, or update to 1811 first", combined.Source.String())
		default:
			m.assert(AssertCombined, "internal secrets rotate too", in.Combined)
		}
		m.notice("internal secrets rotate in the same run")
	}
	m.notice("users: public addresses of the stamp are unreachable for %s minutes once during the run, which takes about an hour; applications must reconnect by themselves", m.facts.OutageMinutes)
	m.acknowledgements()

	p := m.plan
	p.Stage = m.stageSection()
	p.Rotate = m.rotateSection(call, kind)
	p.Rotate.Combined = combined.Combined
	p.Verify = m.verifySection()
	m.externalSteps()
}

// certificates admits the judged set.
func (m *maker) certificates() {
	in := m.in
	switch {
	case in.Report.Verdict == validate.FailedOnce:
		m.refuse("certificates", "Certificates", "failing: "+strings.Join(failing(in.Report), ", "), "a set that passes every rule", "run certstamp validate and mend what it names", "")
	case !in.Report.Complete && !m.intent:
		m.refuse("certificates", "Certificates", "a required test was skipped: "+strings.Join(skipped(in.Report), ", "), "a complete judgement", "run certstamp validate and see why", "")
	}
	m.plan.Certificates = append(m.plan.Certificates, in.Certificates...)
	m.plan.Transitions = append(m.plan.Transitions, in.Transitions...)
	m.plan.Observed = append(m.plan.Observed, in.Observed...)
	want := in.Policy.Endpoints(in.Version, in.Identity, in.Stamp.Optional)
	for _, e := range want {
		n := 0
		for _, c := range in.Certificates {
			if c.Endpoint == e.ID {
				n++
			}
		}
		if n != 1 {
			m.refuse("one-file-per-endpoint", "One File Per Endpoint", fmt.Sprintf("%d files for %s", n, e.Folder), "exactly one", "run certstamp validate: the folder layout names what is missing or too much", e.Source.String())
		}
	}
	if len(in.Certificates) != len(want) && len(in.Certificates) > 0 {
		for _, c := range in.Certificates {
			if !slices.ContainsFunc(want, func(e policies.Endpoint) bool { return e.ID == c.Endpoint }) {
				m.refuse("one-file-per-endpoint", "One File Per Endpoint", fmt.Sprintf("a file for %q", c.Folder), "only the endpoints of this stamp", "remove the folder", "")
			}
		}
	}
	if in.InstalledCA != "" {
		m.assert(AssertInstalledCA, in.InstalledCA, "stated in the stamp file")
	}
	for _, c := range in.Report.Certificates {
		for _, f := range c.Tests {
			if f.Waived != "" {
				m.assert(AssertWaiver, c.Folder+"/"+f.ID, f.Waived)
			} else if f.Result == validate.Warning {
				m.notice("%s: %s: %s", c.Folder, f.Name, f.Found)
			}
		}
	}
	for _, f := range in.Report.Set {
		if f.Waived != "" {
			m.assert(AssertWaiver, "set/"+f.ID, f.Waived)
		} else if f.Result == validate.Warning {
			m.notice("%s: %s", f.Name, f.Found)
		}
	}
	unseen, same := 0, 0
	for _, o := range in.Observed {
		if o.LeafSHA256 == "" {
			unseen++
			m.notice("%s (%s) could not be read: %s", o.Endpoint, o.Host, o.Error)
		}
		for _, c := range in.Certificates {
			if c.Endpoint == o.Endpoint && c.LeafSHA256 == o.LeafSHA256 {
				same++
			}
		}
	}
	if same > 0 && same == len(in.Certificates) && m.in.Kind == External {
		m.notice("every endpoint already serves its planned certificate")
	}
	if unseen > 0 && !in.Policy.Gate("any-enterprise-ca").Has(in.Version) && in.InstalledCA == "" {
		g := in.Policy.Gate("any-enterprise-ca")
		m.refuse("installed-ca", "Installed CA", fmt.Sprintf("endpoints that could not be read: %d", unseen), "the class of every installed certificate: below this release it decides",
			"make the endpoints reachable from here, or state installed-ca in stamp.yaml", g.Source.String())
	}
}

func failing(r validate.StampReport) []string {
	return named(r, func(f validate.Finding) bool { return f.Result == validate.Fail })
}

func skipped(r validate.StampReport) []string {
	return named(r, func(f validate.Finding) bool { return f.Result == validate.Skipped })
}

// named lists tests as Folder/id, bounded: the report itself is printed elsewhere.
func named(r validate.StampReport, which func(validate.Finding) bool) []string {
	const most = 12
	var out []string
	for _, c := range r.Certificates {
		for _, f := range c.Tests {
			if which(f) {
				out = append(out, c.Folder+"/"+f.ID)
			}
		}
	}
	for _, f := range r.Set {
		if which(f) {
			out = append(out, "set/"+f.ID)
		}
	}
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return out
}

func (m *maker) share() {
	in := m.in
	const source = "ROT-2210, rotate external secrets"
	if in.Share.UNC == "" {
		m.refuse("share", "Share", "no share in the stamp file", "the share root as the stamp sees it", `add share: {unc: \\host\share, ...} to stamp.yaml`, source)
	}
	if in.Share.Backup == "" {
		m.refuse("backup", "Backup", "no backup in the stamp file", "a folder off the share that holds the same set",
			"add backup: file:PATH to stamp.yaml and run certstamp pack --backup: after a failure the files on the share may not be intact", source)
	}
	if in.PFXPassword == "" {
		m.refuse("pfx-password", "PFX Password", "no pfx-password in the stamp file", "a reference", "add pfx-password: env:PFX_... to stamp.yaml", "")
	}
	if in.Share.AccessPassword == "" && in.Share.UNC != "" {
		m.refuse("share-access", "Share Access", "no password for the account the stamp reads the share with", "a reference", "add share.password or share.access-password to stamp.yaml", source)
	}
}

func (m *maker) acknowledgements() {
	for _, a := range m.in.AcceptHealth {
		m.assert(AssertHealth, a.What, a.Reason)
	}
	if m.in.NoPEPCheck != "" {
		m.assert(AssertNoPEPCheck, "stage publishes without asking the privileged endpoint", m.in.NoPEPCheck)
	}
	if m.in.Fresh != "" {
		m.assert(AssertFresh, "start anew although the last action failed", m.in.Fresh)
	}
	if m.in.KnowIdentity != "" {
		m.assert(AssertIdentity, string(m.in.Identity), m.in.KnowIdentity)
	}
	if m.in.Adopt != "" {
		m.assert(AssertAdopt, "continue a rotation that certstamp did not start", m.in.Adopt)
	}
}

func (m *maker) stageSection() *StageSection {
	in := m.in
	s := &StageSection{
		UNC: in.Share.UNC, Folder: in.Share.Folder, Identity: string(in.Identity), Backup: in.Share.Backup,
		Restore: in.Kind == Rerun, Files: []PlannedFile{},
	}
	if s.Folder == "" {
		s.User = in.Share.User
		s.SMB = &SMB{
			Password: in.Share.Password, AccessUser: in.Share.AccessUser, AccessPassword: in.Share.AccessPassword,
			SigningOnly: in.Share.SigningOnly, Resolve: append([]string{}, in.Resolve...),
		}
		if s.SMB.SigningOnly {
			m.notice("the share is reached over SMB signed but not encrypted: the files are protected on the wire by their own password alone")
		}
	}
	for _, c := range in.Certificates {
		s.Files = append(s.Files, PlannedFile{Folder: c.Folder, Name: c.File, Size: c.Size, SHA256: c.PFXSHA256})
	}
	sort.Slice(s.Files, func(i, j int) bool { return s.Files[i].Folder < s.Files[j].Folder })
	return s
}

// certificatesFolder is the last element of the path that Start-SecretRotation takes (ROT-2210).
const certificatesFolder = `\Certificates`

// call fills the parameters of a policy's call with values and references.
func (m *maker) call(c policies.RotationCall) Call {
	out := Call{Cmdlet: c.Cmdlet, Parameters: []Parameter{}}
	for _, p := range c.Parameters {
		switch p.Optional {
		case "new-user":
			if m.in.BMC.NewUser == "" {
				continue
			}
		case "nodes-first":
			if m.in.BMC.Update == "pep" {
				continue
			}
		}
		q := Parameter{Name: p.Name, Type: p.Type, Value: p.Value, Values: slices.Clone(p.Values)}
		switch p.Name {
		case "PfxFilesPath":
			q.Value = m.in.Share.UNC + certificatesFolder
		case "PathAccessCredential":
			q.Value, q.Secret = m.in.Share.AccessUser, m.in.Share.AccessPassword
		case "CertificatePassword":
			q.Secret = m.in.PFXPassword
		case "BmcPassword":
			q.Secret = m.in.BMC.NewPassword
		case "BmcUser":
			q.Value = m.in.BMC.NewUser
		}
		out.Parameters = append(out.Parameters, q)
	}
	return out
}

func (m *maker) health(kind string) []HealthCheck {
	out := []HealthCheck{}
	for _, h := range m.in.Policy.Health(m.in.Version, kind) {
		c := Call{Cmdlet: h.Cmdlet, Parameters: []Parameter{}}
		for _, p := range h.Parameters {
			c.Parameters = append(c.Parameters, Parameter{Name: p.Name, Type: p.Type, Value: p.Value, Values: slices.Clone(p.Values)})
		}
		out = append(out, HealthCheck{Call: c, WarningsBlock: h.WarningsBlock})
	}
	return out
}

func (m *maker) rotateSection(c policies.RotationCall, kind string) *RotateSection {
	limit := m.facts.Limit
	if strings.Contains(kind, "internal") {
		limit = m.facts.InternalLimit
	}
	s := &RotateSection{
		PEP: m.in.PEP, Start: m.call(c), ActionName: m.facts.Action, Rerun: m.in.Kind == Rerun,
		Adopt: m.in.Adopt != "", Fresh: m.in.Fresh, Health: m.health(kind), AcceptHealth: []Assertion{},
		UpdateCheck: true, Success: m.facts.Success, LimitSeconds: limit, PollSeconds: m.facts.Poll,
		Windows: slices.Clone(m.in.Windows), OutageMinutes: m.facts.OutageMinutes,
		RootWarningDays: m.facts.RootWarning, RootCriticalDays: m.facts.RootCritical, RootRenewed: m.in.Policy.Gate("internal-root").Has(m.in.Version),
	}
	if s.Windows == nil {
		s.Windows = []string{}
	}
	if t := m.in.Transcripts; t.UNC != "" {
		// PEP-2012, close the privileged endpoint session. The reference types the credential as a SecureString; it is a PSCredential.
		s.Transcripts = &Call{Cmdlet: "Close-PrivilegedEndpoint", Parameters: []Parameter{
			{Name: "TranscriptsPathDestination", Type: "String", Value: t.UNC},
			{Name: "Credential", Type: "PSCredential", Value: t.User, Secret: t.Password},
		}}
	}
	for _, a := range m.in.AcceptHealth {
		s.AcceptHealth = append(s.AcceptHealth, Assertion{What: a.What, Value: a.Value, Reason: a.Reason})
	}
	sort.Slice(s.AcceptHealth, func(i, j int) bool { return s.AcceptHealth[i].What < s.AcceptHealth[j].What })
	return s
}

func (m *maker) verifySection() *VerifySection {
	in := m.in
	v := &VerifySection{Port: in.Port, Samples: m.facts.Samples, Resolve: slices.Clone(in.Resolve), Endpoints: []VerifyEndpoint{}}
	if v.Resolve == nil {
		v.Resolve = []string{}
	}
	for _, e := range in.Policy.Endpoints(in.Version, in.Identity, in.Stamp.Optional) {
		ve := VerifyEndpoint{Endpoint: e.ID, Host: e.ProbeHost(in.Stamp.Domain())}
		for _, o := range in.Observed {
			if o.Endpoint == e.ID {
				ve.Previous = o.LeafSHA256
			}
		}
		for _, c := range in.Certificates {
			if c.Endpoint == e.ID {
				ve.Planned = c.LeafSHA256
			}
		}
		v.Endpoints = append(v.Endpoints, ve)
	}
	sort.Slice(v.Endpoints, func(i, j int) bool { return v.Endpoints[i].Endpoint < v.Endpoints[j].Endpoint })
	return v
}

func (m *maker) externalSteps() {
	p := m.plan
	var files []string
	for _, f := range p.Stage.Files {
		files = append(files, f.SHA256)
	}
	sort.Strings(files)
	m.guardStep()
	publish := Step{
		ID: "stage.publish", Changes: true, Uses: files,
		Action: fmt.Sprintf(`put %d files under %s%s\%s, as one transaction`, len(p.Stage.Files), p.Stage.UNC, certificatesFolder, p.Stage.Identity),
		Reason: "the stamp reads its certificates from this share",
		Before: "the share holds no set, or another complete one, and nothing else",
		After:  "the share holds exactly these files, read back by SHA-256; the set before them is kept aside",
	}
	if p.Stage.Restore {
		publish.Action = fmt.Sprintf(`put the same %d files back under %s%s\%s, from the backup`, len(p.Stage.Files), p.Stage.UNC, certificatesFolder, p.Stage.Identity)
		publish.Reason = "after a failure the files on the share may not be intact"
	}
	m.step(publish)
	m.healthStep()
	start := Step{
		ID: "rotate.start", Changes: true, Uses: files,
		Action: "run " + p.Rotate.Start.Text() + " at the privileged endpoint, once, and watch it to its end",
		Reason: "the stamp replaces the certificates of its external endpoints",
		Before: "no rotation is running or began since this plan was made, and every endpoint serves the certificate observed above",
		After:  "an action later than the last one before it has completed, and the endpoints serve the planned certificates",
	}
	if p.Rotate.Rerun {
		start.Reason = "the rotation before failed; this continues it"
		start.Before = "the last rotation failed; endpoints serve either certificate"
	}
	m.step(start)
	m.transcriptsStep()
	m.step(Step{
		ID:     "verify.live",
		Action: fmt.Sprintf("connect to %d endpoints %d times each and compare what they serve", len(p.Verify.Endpoints), p.Verify.Samples),
		Reason: "only what is served proves a rotation", Uses: leaves(p.Certificates),
		Before: "some endpoint serves the certificate observed above", After: "every endpoint serves the planned certificate, every time",
	})
	m.step(Step{
		ID: "stage.remove", Changes: true, Uses: files,
		Action: "remove the planned files and what was kept aside from the share", Reason: "private keys do not stay on a share",
		Before: "the planned files are on the share", After: "no PFX is left there",
	})
}

func (m *maker) guardStep() {
	s := m.plan.Stamp
	pinned := ""
	if s.CloudID != "" {
		pinned = ", CloudID " + s.CloudID
	}
	m.step(Step{
		ID: "guard", Action: "ask the privileged endpoint who it is, before every change",
		Reason: "a change on the wrong stamp cannot be taken back",
		Before: "unknown", After: fmt.Sprintf("region %s, domain %s, version %s%s", s.Region, s.Domain(), s.Version, pinned),
	})
}

func (m *maker) healthStep() {
	for i, h := range m.plan.Rotate.Health {
		after := "healthy"
		if h.WarningsBlock {
			after = "healthy, without warnings"
		}
		if len(m.plan.Rotate.AcceptHealth) > 0 {
			after += ", but for what is asserted above"
		}
		m.step(Step{
			ID: fmt.Sprintf("rotate.health-%d", i+1), Action: "run " + h.Call.Text(),
			Reason: "the stamp must be healthy before a rotation", Before: "unknown", After: after,
		})
	}
}

func (m *maker) transcriptsStep() {
	c := m.plan.Rotate.Transcripts
	if c == nil {
		return
	}
	m.step(Step{
		ID: "rotate.transcripts", Changes: true, Action: "run " + c.Text() + " at the privileged endpoint, once the rotation has ended well or badly",
		Reason: "the endpoint's transcripts are kept where an auditor finds them; a failure here changes nothing about the rotation",
		Before: "the transcripts lie on the endpoint's machine", After: "they lie on that share, and no longer there",
	})
}

func leaves(list []Certificate) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.LeafSHA256)
	}
	sort.Strings(out)
	return slices.Compact(out)
}

// Text is the call as a person reads it, without values that are secret.
func (c Call) Text() string {
	parts := []string{c.Cmdlet}
	for _, p := range c.Parameters {
		switch p.Type {
		case "Switch":
			parts = append(parts, "-"+p.Name)
		case "SecureString":
			parts = append(parts, "-"+p.Name+" <"+p.Secret+">")
		case "PSCredential":
			parts = append(parts, "-"+p.Name+" <"+p.Value+", "+p.Secret+">")
		case "StringList":
			parts = append(parts, "-"+p.Name+" "+strings.Join(p.Values, ","))
		default:
			parts = append(parts, "-"+p.Name+" "+p.Value)
		}
	}
	return strings.Join(parts, " ")
}
