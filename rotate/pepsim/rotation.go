package pepsim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// The words of an action plan and of its steps.
const (
	wordRunning    = "Running"
	wordCompleted  = "Completed"
	wordFailed     = "Failed"
	stepNotStarted = "NotStarted"
	stepInProgress = "InProgress"
	stepSuccess    = "Success"
	stepError      = "Error"
)

// action is one action plan of the stamp. It lives in the engine, not in a session: nothing a client does ends it.
type action struct {
	function string
	id       string
	internal bool
	word     string
	started  time.Time
	ended    time.Time
	failure  *psrp.ErrorRecord
	order    rotationOrder
	steps    []step
	reruns   int
}

type step struct {
	name, description, status string
	started, ended            time.Time
	nominal                   time.Duration
	run                       func(*Server, *action) *psrp.ErrorRecord
}

// rotationOrder is what came over the wire.
type rotationOrder struct {
	path, user, password, certificatePassword string
}

// clone makes a snapshot that nobody changes.
func (a *action) clone() *action {
	c := *a
	c.steps = slices.Clone(a.steps)
	return &c
}

// xml is ProgressAsXml.
func (a *action) xml() string {
	type xmlStep struct {
		Name         string `xml:"Name,attr"`
		Description  string `xml:"Description,attr"`
		Status       string `xml:"Status,attr"`
		StartTimeUtc string `xml:"StartTimeUtc,attr,omitempty"`
		EndTimeUtc   string `xml:"EndTimeUtc,attr,omitempty"`
	}
	doc := struct {
		XMLName      xml.Name  `xml:"Action"`
		Name         string    `xml:"Name,attr"`
		Status       string    `xml:"Status,attr"`
		StartTimeUtc string    `xml:"StartTimeUtc,attr"`
		EndTimeUtc   string    `xml:"EndTimeUtc,attr,omitempty"`
		Steps        []xmlStep `xml:"Steps>Step"`
	}{Name: a.function, Status: a.word, StartTimeUtc: utc(a.started), EndTimeUtc: utc(a.ended)}
	for _, s := range a.steps {
		doc.Steps = append(doc.Steps, xmlStep{s.name, s.description, s.status, utc(s.started), utc(s.ended)})
	}
	b, err := xml.Marshal(doc)
	if err != nil {
		return ""
	}
	return string(b)
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.0000000Z")
}

// engine runs at most one action plan at a time.
type engine struct {
	mu      sync.Mutex
	actions []*action
	wake    chan struct{}
}

func (e *engine) changed() {
	close(e.wake)
	e.wake = make(chan struct{})
}

// latest returns a snapshot of the last action of a function.
func (e *engine) latest(function string) *action {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range slices.Backward(e.actions) {
		if strings.EqualFold(a.function, function) {
			return a.clone()
		}
	}
	return nil
}

const rotationFunction = "Start-SecretRotation"

func startSecretRotation(ctx context.Context, c *call) error {
	s := c.s
	cred, _ := c.args["PathAccessCredential"].(clixml.Credential)
	certificatePassword, _ := c.args["CertificatePassword"].(clixml.SecureString)
	order := rotationOrder{
		path: c.text("PfxFilesPath"), user: cred.User, password: cred.Password.Reveal(), certificatePassword: certificatePassword.Reveal(),
	}
	anyPFX := c.has("PfxFilesPath") || c.has("PathAccessCredential") || c.has("CertificatePassword")
	allPFX := c.has("PfxFilesPath") && c.has("PathAccessCredential") && c.has("CertificatePassword")
	internal := c.flag("Internal") || s.release < 1811 && !anyPFX
	rerun := c.flag("ReRun")
	switch {
	case rerun && anyPFX, c.flag("Internal") && anyPFX:
		return terminate(psrp.InvalidArgument, "AmbiguousParameterSet,Start-SecretRotation", bindingError, "Parameter set cannot be resolved using the specified named parameters.")
	case !rerun && !internal && !allPFX:
		return terminate(psrp.InvalidArgument, "MissingMandatoryParameter,Start-SecretRotation", bindingError,
			"Cannot process command because of one or more missing mandatory parameters: PfxFilesPath PathAccessCredential CertificatePassword.")
	}
	a, err := s.startAction(order, internal, rerun)
	if err != nil {
		return err
	}
	return s.follow(ctx, c, a)
}

// startAction starts a rotation, or resumes the failed one.
func (s *Server) startAction(order rotationOrder, internal, rerun bool) (*action, error) {
	e := &s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	var last *action
	if n := len(e.actions); n > 0 {
		last = e.actions[n-1]
	}
	switch {
	case last != nil && last.word == wordRunning:
		return nil, terminate(psrp.ResourceBusy, "ActionPlanRunning,Start-SecretRotation", runtimeError,
			"Another action plan of '%s' is in progress (instance %s).", last.function, last.id)
	case rerun && (last == nil || last.word != wordFailed || s.release >= 1811 && last.internal != internal):
		return nil, terminate(psrp.InvalidOperation, "NothingToRerun,Start-SecretRotation", runtimeError, "There is no failed secret rotation to run again.")
	case !rerun && last != nil && last.word == wordFailed:
		return nil, terminate(psrp.InvalidOperation, "RerunRequired,Start-SecretRotation", runtimeError,
			"The last secret rotation (instance %s) has failed: use -ReRun.", last.id)
	}
	if rerun {
		a := last
		a.word, a.failure, a.ended = wordRunning, nil, time.Time{}
		for i := range a.steps {
			if a.steps[i].status != stepSuccess {
				a.steps[i].status, a.steps[i].started, a.steps[i].ended = stepNotStarted, time.Time{}, time.Time{}
			}
		}
		e.changed()
		a.reruns++
		s.history.write(event{Event: "action-resumed", Action: a.id})
		s.running.Go(func() { s.runAction(a) })
		return a, nil
	}
	a := &action{function: rotationFunction, id: strings.ToLower(s.guid()), internal: internal, word: wordRunning, started: s.now(), order: order, steps: externalSteps()}
	switch {
	case internal:
		a.steps = internalSteps()
	case s.release < 1811: // the call with PFX files rotates both
		a.steps = slices.Insert(externalSteps(), 3, internalSteps()[1])
	}
	for i := range a.steps {
		a.steps[i].status = stepNotStarted
	}
	e.actions = append(e.actions, a)
	e.changed()
	s.history.write(event{Event: "action-started", Action: a.id})
	s.running.Go(func() { s.runAction(a) })
	return a, nil
}

// runAction walks the steps for as long as the server lives, whoever watches.
func (s *Server) runAction(a *action) {
	e := &s.engine
	for i := range a.steps {
		e.mu.Lock()
		st := &a.steps[i]
		if st.status == stepSuccess {
			e.mu.Unlock()
			continue
		}
		st.status, st.started = stepInProgress, s.now()
		e.changed()
		e.mu.Unlock()

		err := s.think(s.life, s.nominal(i, st))
		if err != nil {
			return // the simulator stops: a stamp that loses its power says nothing either
		}
		failure := s.orderedFailure(a, i+1)
		if failure == nil {
			failure = st.run(s, a)
		}
		e.mu.Lock()
		st.ended, st.status = s.now(), stepSuccess
		if failure != nil {
			st.status, a.word, a.failure, a.ended = stepError, wordFailed, failure, s.now()
			e.changed()
			e.mu.Unlock()
			s.history.write(event{Event: "action-failed", Action: a.id, Step: st.name})
			return
		}
		e.changed()
		e.mu.Unlock()
	}
	e.mu.Lock()
	a.word, a.ended = wordCompleted, s.now()
	e.changed()
	e.mu.Unlock()
	s.history.write(event{Event: "action-completed", Action: a.id})
}

// orderedFailure is what the scenario wants to go wrong at a step: on the first run, or on every run.
func (s *Server) orderedFailure(a *action, step int) *psrp.ErrorRecord {
	s.mu.Lock()
	f := s.fail
	s.mu.Unlock()
	if f.Step != step || a.reruns > 0 && !f.Again {
		return nil
	}
	r := record(psrp.NotSpecified, "ActionStepFailed,Start-SecretRotation", "CloudEngine.Actions.InterfaceInvocationFailedException", "%s",
		orDefault(f.Message, fmt.Sprintf("Step %d failed, as ordered.", step)))
	return &r
}

// follow shows an action to the one who started it, until it ends.
func (s *Server) follow(ctx context.Context, c *call, a *action) error {
	e := &s.engine
	shown := map[string]string{}
	for {
		e.mu.Lock()
		now, wake := a.clone(), e.wake
		e.mu.Unlock()
		finished := 0
		for _, st := range now.steps {
			if st.status == stepSuccess {
				finished++
			}
			if st.status == stepNotStarted || shown[st.name] == st.status {
				continue
			}
			shown[st.name] = st.status
			if err := c.write(ctx, psrp.Verbose{Text: fmt.Sprintf("%s: %s", st.name, st.status)}); err != nil {
				return err
			}
			if err := c.write(ctx, psrp.Progress{
				Activity: "Secret rotation", ID: 1, ParentID: -1, Status: st.description, CurrentOperation: st.name,
				Percent: int32(100 * finished / len(now.steps)), SecondsLeft: -1,
			}); err != nil {
				return err
			}
			if st.status == stepInProgress {
				for n := range s.cfg.Chatter {
					if err := c.write(ctx, psrp.Output{Value: fmt.Sprintf("%s: line %d of what this step has to say", st.name, n+1)}); err != nil {
						return err
					}
				}
				if err := c.write(ctx, psrp.Output{Value: fmt.Sprintf("%s %s %s", s.now().UTC().Format("2006-01-02 15:04:05"), st.status, st.description)}); err != nil {
					return err
				}
			}
		}
		switch now.word {
		case wordCompleted:
			return s.announce(ctx, c, now)
		case wordFailed:
			if err := c.write(ctx, psrp.Output{Value: fmt.Sprintf("ActionPlanInstanceID : %s\r\nCurrentStatus : Failed", now.id)}); err != nil {
				return err
			}
			return &terminating{*now.failure}
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announce says success in the words of the release.
func (s *Server) announce(ctx context.Context, c *call, a *action) error {
	lines := []string{"Overall action status: Success"}
	if s.style() != style2018 {
		lines = []string{
			fmt.Sprintf("ActionPlanInstanceID: %s, Name: SecretRotation, CurrentStatus: Completed", a.id),
			"DONE",
		}
	}
	if s.style() == style2022 {
		lines = append(lines, "Action plan finished with status: 'Completed'")
	}
	for _, l := range lines {
		if err := c.write(ctx, psrp.Output{Value: l}); err != nil {
			return err
		}
	}
	return nil
}

// The steps and their usual length add up to about an hour, which is what the documents say.
func externalSteps() []step {
	return []step{
		{name: "ValidateCertificates", description: "Validate the external certificates on the share", nominal: 3 * time.Minute, run: checkShare},
		{name: "BackupSecretStore", description: "Back up the secret store", nominal: 4 * time.Minute, run: nothing},
		{name: "ImportCertificates", description: "Import the external certificates", nominal: 8 * time.Minute, run: checkShare},
		{name: "UpdateGateway", description: "Hand the certificates to the gateway and the load balancers", nominal: 15 * time.Minute, run: swap},
		{name: "RestartRoles", description: "Restart infrastructure roles", nominal: 22 * time.Minute, run: nothing},
		{name: "CleanUp", description: "Remove what is no longer used", nominal: 4 * time.Minute, run: nothing},
	}
}

func internalSteps() []step {
	return []step{
		{name: "BackupSecretStore", description: "Back up the secret store", nominal: 4 * time.Minute, run: nothing},
		{name: "RotateInternalSecrets", description: "Rotate internal certificates, keys and service accounts", nominal: 90 * time.Minute, run: nothing},
		{name: "CleanUp", description: "Remove what is no longer used", nominal: 4 * time.Minute, run: nothing},
	}
}

func nothing(*Server, *action) *psrp.ErrorRecord { return nil }

func checkShare(s *Server, a *action) *psrp.ErrorRecord {
	_, failure := s.readShare(a.order)
	return failure
}

func swap(s *Server, a *action) *psrp.ErrorRecord {
	certs, failure := s.readShare(a.order)
	if failure == nil {
		s.serve(certs)
	}
	return failure
}

const maxPFX = 1 << 20

// readShare does what the stamp does with the path it was given: it opens the share with the credential that came, looks
// into the folders it expects, and opens each file with the password. It is as naive as the real one, and knows nothing
// of how our own tools check a layout.
func (s *Server) readShare(o rotationOrder) (map[string]tls.Certificate, *psrp.ErrorRecord) {
	if !strings.HasSuffix(strings.ToLower(strings.TrimRight(o.path, `\`)), `\certificates`) {
		r := record(psrp.InvalidArgument, "InvalidPfxFilesPath,Start-SecretRotation", runtimeError, "The path '%s' should end with Certificates.", o.path)
		return nil, &r
	}
	share, err := s.cfg.OpenShare(o.path, o.user, o.password)
	if err != nil {
		r := record(psrp.PermissionDenied, "ShareAccessFailed,Start-SecretRotation", "System.IO.IOException", "%v", err)
		return nil, &r
	}
	defer closeShare(share)
	out := map[string]tls.Certificate{}
	for folder, name := range s.expected() {
		files, err := fs.Glob(share, path.Join(s.cfg.Identity, folder, "*.pfx"))
		if err != nil || len(files) == 0 {
			r := record(psrp.InvalidData, "ParameterArgumentValidationErrorNullNotAllowed,Test-Certificate",
				"System.Management.Automation.ParameterBindingValidationException", "Cannot bind argument to parameter 'Path' because it is null.")
			return nil, &r
		}
		if len(files) > 1 {
			r := record(psrp.InvalidData, "TooManyCertificates,Test-Certificate", runtimeError, "More than one certificate was found in folder '%s'.", folder)
			return nil, &r
		}
		cert, err := readPFX(share, files[0], o.certificatePassword)
		if err == nil && name != "" {
			err = cert.Leaf.VerifyHostname(strings.Replace(name, "*", "any", 1))
		}
		if err != nil {
			r := record(psrp.InvalidData, "InvalidCertificate,Test-Certificate", runtimeError, "%s: %v", folder, err)
			return nil, &r
		}
		out[folder] = cert
	}
	if strays := s.strays(share); len(strays) > 0 {
		r := record(psrp.InvalidData, "InvalidFolderStructure,Test-Certificate", runtimeError,
			"Invalid folder structure found in certificate folder %s, ensure only required folders are present. Invalid: %s", o.path, strings.Join(strays, ", "))
		return nil, &r
	}
	return out, nil
}

// strays are folders beside the expected ones.
func (s *Server) strays(share fs.FS) []string {
	entries, err := fs.ReadDir(share, s.cfg.Identity)
	if err != nil {
		return nil
	}
	expected := s.expected()
	var out []string
	for _, e := range entries {
		if _, ok := expected[e.Name()]; e.IsDir() && !ok {
			out = append(out, e.Name())
		}
	}
	return out
}

func readPFX(share fs.FS, name, password string) (tls.Certificate, error) {
	f, err := share.Open(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPFX+1))
	if err != nil || len(b) > maxPFX {
		return tls.Certificate{}, errors.Join(errors.New("the file cannot be read"), err)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(b, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return tls.Certificate{}, errors.New("The provided password for the certificate is not correct.") //nolint:staticcheck,revive // the stamp's own words
	case err != nil:
		return tls.Certificate{}, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, errors.New("the certificate does not contain a private key")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return tls.Certificate{}, errors.New("the key does not belong to the certificate")
	}
	out := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: signer, Leaf: leaf}
	for _, c := range chain {
		if !bytes.Equal(c.RawSubject, c.RawIssuer) { // a server does not send its root
			out.Certificate = append(out.Certificate, c.Raw)
		}
	}
	if len(chain) == 0 {
		return tls.Certificate{}, errors.New("the certificate does not contain a chain trust")
	}
	return out, nil
}
