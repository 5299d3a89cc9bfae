package demo

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/certstamp/certstamp/internal/loopback"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// Spec is one made-up stamp.
type Spec struct {
	Name     string
	Region   string
	Identity policies.Identity
	Version  string
	Speed    int    // how much faster than real time the stamp's rotation runs
	BMC      string // who changes the controllers: pep from 1910 on, else external
	Extra    string // further lines for its scenario: failures and faults to order
	SMB      bool   // the share is a real one, over SMB, instead of a mounted folder
}

// Specs are the stamps of the demo: one of each identity system, on both sides of what changed in between.
var Specs = []Spec{
	{Name: "east", Region: "east", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 1200, BMC: "pep"},
	{Name: "west", Region: "west", Identity: policies.ADFS, Version: "1.1811.0.101", Speed: 1200, BMC: "external"},
}

// FQDN is the external domain of all made-up stamps.
const FQDN = "azurestack.contoso.example"

// Stamp is a made-up stamp with the files around it.
type Stamp struct {
	Spec
	Hosts    []string // the ERCS addresses of its privileged endpoint
	TLS      string   // where its endpoints are served
	Share    string   // the folder behind its share
	SMBAddr  string   // 127.0.0.1:port of the server, with SMB
	UNC      string
	File     string // stamp.yaml, relative to the repository
	Scenario string // the simulator's file
	History  string // what the simulator writes down
	Backup   string
}

// Workspace is a repository with made-up stamps, their shares, and a CA.
type Workspace struct {
	Dir     string
	Repo    string
	Stamps  []*Stamp
	Now     time.Time
	Secrets map[string]string // environment for every command
	SMBAddr string            // of the one server for all shares that are reached over SMB

	ca *authority
}

// installedLife is how long the certificates that the stamps serve at first still live: short enough to need a rotation.
const installedLife = 20 * 24 * time.Hour

// Prepare writes a workspace below dir. Passwords are random for each run.
func Prepare(dir string, now time.Time, specs []Spec) (*Workspace, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	w := &Workspace{Dir: dir, Repo: filepath.Join(dir, "repository"), Now: now.UTC().Truncate(time.Second)}
	if w.Secrets, err = passwords(); err != nil {
		return nil, err
	}
	if w.ca, err = newAuthority("Contoso", w.Now); err != nil {
		return nil, err
	}
	for _, spec := range specs {
		s, err := w.prepare(spec)
		if err != nil {
			return nil, fmt.Errorf("stamp %s: %w", spec.Name, err)
		}
		w.Stamps = append(w.Stamps, s)
	}
	return w, nil
}

// passwords makes one secret for each role: letters and digits only, as the stamp wants its PFX password.
func passwords() (map[string]string, error) {
	out := map[string]string{}
	for name, length := range map[string]int{
		"PFX_PASSWORD": 20, "PFX_KEY_PASSWORD": 24, "SHARE_PASSWORD": 18, "PEP_PASSWORD": 22, "BMC_NEW_PASSWORD": 14,
		"PFX_INSTALLED_PASSWORD": 20,
	} {
		p := strings.Map(func(r rune) rune {
			if r == '-' || r == '_' {
				return 'x'
			}
			return r
		}, rand.Text()+strings.ToLower(rand.Text()))
		out[name] = "Aa1" + p[:8] + p[len(p)-(length-11):]
	}
	return out, nil
}

func (w *Workspace) prepare(spec Spec) (*Stamp, error) {
	s := &Stamp{
		Spec: spec, File: filepath.ToSlash(filepath.Join("stamps", spec.Name, "stamp.yaml")),
		Share: filepath.Join(w.Dir, "share-"+spec.Name), UNC: `\\127.0.0.1\certs-` + spec.Name,
		Scenario: filepath.Join(w.Dir, "simulator-"+spec.Name+".yaml"), History: filepath.Join(w.Dir, "simulator-"+spec.Name+".jsonl"),
		Backup: filepath.Join(w.Dir, "backup-"+spec.Name),
	}
	addresses, err := loopback.Addresses(4)
	if err != nil {
		return nil, err
	}
	s.Hosts, s.TLS = addresses[:3], addresses[3]
	if spec.SMB {
		if w.SMBAddr == "" {
			server, err := loopback.Addresses(1)
			if err != nil {
				return nil, err
			}
			w.SMBAddr = server[0]
		}
		s.SMBAddr = w.SMBAddr
	}
	for _, d := range []string{s.Share, s.Backup, filepath.Dir(filepath.Join(w.Repo, filepath.FromSlash(s.File)))} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	installed := filepath.Join(w.Dir, "installed-"+spec.Name)
	if err := w.install(spec, installed); err != nil {
		return nil, err
	}
	if err := w.WriteStamp(s.File, s, s.Hosts); err != nil {
		return nil, err
	}
	return s, render(s.Scenario, scenarioFile, map[string]any{"S": s, "FQDN": FQDN, "Installed": installed})
}

// install makes the set that the stamp serves at first, packed like any other.
func (w *Workspace) install(spec Spec, dir string) error {
	endpoints, err := spec.endpoints()
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		name := e.Name(spec.Region + "." + FQDN)
		subject, err := asn1.Marshal(pkix.Name{Organization: []string{"SIMULATED Contoso"}, CommonName: name}.ToRDNSequence())
		if err != nil {
			return err
		}
		leaf, err := w.ca.leaf(subject, []string{name}, key.Public(), w.Now.AddDate(-1, 0, 0), w.Now.Add(installedLife))
		if err != nil {
			return err
		}
		b, err := pfx.Pack{
			Key: key, Leaf: leaf, Chain: w.ca.chain(), Password: w.Secrets["PFX_INSTALLED_PASSWORD"],
			LocalMachine: true, Rand: rand.Reader,
		}.Encode()
		if err != nil {
			return fmt.Errorf("%s: %w", e.Folder, err)
		}
		if err := write(filepath.Join(dir, e.Folder, e.Stem()+".pfx"), b); err != nil {
			return err
		}
	}
	return nil
}

func (s Spec) endpoints() ([]policies.Endpoint, error) {
	p, err := policies.Default()
	if err != nil {
		return nil, err
	}
	v, err := policies.ParseVersion(s.Version)
	if err != nil {
		return nil, err
	}
	return p.Endpoints(v, s.Identity, nil), nil
}

// WriteStamp writes a stamp file for s that reaches the given hosts.
func (w *Workspace) WriteStamp(file string, s *Stamp, hosts []string) error {
	return render(filepath.Join(w.Repo, filepath.FromSlash(file)), stampFile, map[string]any{"S": s, "FQDN": FQDN, "Hosts": hosts, "Port": port(s.TLS)})
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// Issue answers every request below the stamp's requests folder, as the operator's CA would. The CA makes a mistake for
// the endpoint named wrong: it drops the requested name.
func (w *Workspace) Issue(requests, issued, wrong string) error {
	files, err := filepath.Glob(filepath.Join(requests, "*.req"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no requests in %s", requests)
	}
	for _, f := range files {
		csr, err := readRequest(f)
		if err != nil {
			return err
		}
		var names []string
		if wrong != "" && len(csr.DNSNames) > 0 && strings.HasPrefix(csr.DNSNames[0], wrong+".") {
			names = []string{"wrong-name." + FQDN}
		}
		leaf, err := w.ca.issue(csr, names, w.Now.Add(-time.Hour), w.Now.AddDate(0, 0, 199))
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(f), ".req") + ".pem"
		// The CA's answer: leaf and intermediate, the root in a file of its own, as such answers come.
		if err := write(filepath.Join(issued, name), pemOf(leaf, w.ca.issuing)); err != nil {
			return err
		}
	}
	return write(filepath.Join(issued, "root.cer"), w.ca.root.Raw)
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

const stampFile = `# A made-up stamp, played by the simulator.
simulated: true
name: {{.S.Name}}
region: {{.S.Region}}
fqdn: {{.FQDN}}
identity: {{.S.Identity}}
version: {{.S.Version}}
cloud-id: SIMULATED-{{.S.Region}}
installed-ca: endpoints
certificates: certificates
pfx-password: env:PFX_PASSWORD
share:
  unc: {{q .S.UNC}}
{{- if not .S.SMB}}
  folder: {{q .S.Share}}
{{- end}}
  user: CONTOSO\certstage
  password: env:SHARE_PASSWORD
pep:
  hosts: [{{range $i, $h := .Hosts}}{{if $i}}, {{end}}{{q $h}}{{end}}]
  user: SIMULATED\CloudAdmin
  password: env:PEP_PASSWORD
bmc:
  update: {{.S.BMC}}
  new-password: env:BMC_NEW_PASSWORD
backup: {{q (printf "file:%s" .S.Backup)}}
resolve: ["*:443:127.0.0.1:{{.Port}}"{{if .S.SMB}}, "*:445:{{.S.SMBAddr}}"{{end}}]
`

const scenarioFile = `# What the simulator plays. It marks itself: the CloudID begins with SIMULATED.
region: {{.S.Region}}
fqdn: {{.FQDN}}
identity: {{.S.Identity}}
version: {{.S.Version}}
cloud-id: SIMULATED-{{.S.Region}}
speed: {{.S.Speed}}
listen: [{{range $i, $h := .S.Hosts}}{{if $i}}, {{end}}{{q $h}}{{end}}]
endpoints: {{q .S.TLS}}
installed: {{q .Installed}}
installed-password: env:PFX_INSTALLED_PASSWORD
users:
  - {name: 'SIMULATED\CloudAdmin', password: env:PEP_PASSWORD}
shares:
{{- if .S.SMB}}
  - {unc: {{q .S.UNC}}, address: {{q .S.SMBAddr}}}
{{- else}}
  - {unc: {{q .S.UNC}}, folder: {{q .S.Share}}, user: 'CONTOSO\certstage', password: env:SHARE_PASSWORD}
{{- end}}
history: {{q .S.History}}
{{.S.Extra}}`

// quote writes a YAML scalar as JSON does, which YAML reads.
func quote(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

func render(file, text string, data any) error {
	t, err := template.New(filepath.Base(file)).Funcs(template.FuncMap{"q": quote}).Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return write(file, b.Bytes())
}
