package cli

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate/pepsim"
)

// simulating is what certstamp simulate was told.
type simulating struct {
	scenario, user, password string
	listen                   []string
	tls, verbose             bool
}

func (a *app) simulateCommand() *cobra.Command {
	var s simulating
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "serve a simulated stamp on loopback, to rehearse with",
		Long: "Serves the privileged endpoint, and with --scenario the external endpoints and the share of a stamp too. A rotation really reads the\n" +
			"share and really changes what the endpoints serve. Prints one line when it listens, and serves until it is interrupted.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulate(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.scenario, "scenario", "", "file that describes the stamp")
	f.Var(list(&s.listen), "listen", "address of a privileged endpoint on loopback, such as 127.0.0.1:5985; repeatable")
	f.StringVar(&s.user, "user", "", `login, such as SIMULATED\CloudAdmin`)
	f.StringVar(&s.password, "password", "", "reference of its password: env:PEP_… or file:PATH")
	f.BoolVar(&s.tls, "tls", false, "serve WinRM over TLS")
	f.BoolVar(&s.verbose, "verbose", false, "write what is asked to stderr")
	return cmd
}

func (a *app) simulate(ctx context.Context, s simulating) error {
	scenario, file, err := a.readScenario(s)
	if err != nil {
		return err
	}
	cfg, err := a.simulatedStamp(scenario)
	if err != nil {
		return configuration(inScenario(s.scenario, file, err), "")
	}
	if s.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(a.err, nil))
	}
	if scenario.History != "" {
		h, err := os.OpenFile(a.path(scenario.History), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return configuration(fmt.Errorf("history: %w", err), "")
		}
		defer h.Close()
		cfg.History = h
	}
	server, err := pepsim.New(cfg)
	if err != nil {
		return configuration(inScenario(s.scenario, file, err), "")
	}
	l, err := pepsim.Addresses{WinRM: scenario.Listen, TLS: scenario.Endpoints, Control: scenario.Control}.Listen()
	switch {
	case errors.Is(err, pepsim.ErrAddress):
		return configuration(fmt.Errorf("listen: %w", err), "a simulated stamp listens on loopback only: give every address as 127.0.0.1:PORT")
	case err != nil:
		return environment("listen", err, "choose a free port on 127.0.0.1")
	}
	defer l.Close()
	where := make([]string, len(l.WinRM))
	for i, one := range l.WinRM {
		where[i] = one.Addr().String()
	}
	control := ""
	if l.Control != nil {
		control = fmt.Sprintf("; control http://%s token %s", l.Control.Addr(), server.Token())
	}
	_, _ = fmt.Fprintf(a.out, "%s stamp %s.%s listens on %s%s\n", pepsim.Mark, scenario.Region, scenario.FQDN, strings.Join(where, ", "), control)
	if err := a.out.Flush(); err != nil {
		return err
	}
	a.formats = nil // its output is that line
	return server.Serve(ctx, l)
}

// readScenario reads the file, whose text it returns too, or makes a small scenario of the flags: a stamp without a share.
func (a *app) readScenario(s simulating) (*pepsim.Scenario, []byte, error) {
	if s.scenario != "" {
		if len(s.listen) > 0 || s.user != "" || s.password != "" || s.tls {
			return nil, nil, usagef("", "--scenario says everything; --listen, --user, --password and --tls are for runs without it")
		}
		b, err := readNamed(a.path(s.scenario))
		if err != nil {
			return nil, nil, configuration(fmt.Errorf("--scenario: %w", err), "")
		}
		sc, err := pepsim.ReadScenario(b)
		if err != nil {
			return nil, nil, configuration(inScenario(s.scenario, b, err), "")
		}
		return sc, b, nil
	}
	if len(s.listen) == 0 || s.user == "" || s.password == "" {
		return nil, nil, usagef(`certstamp simulate --listen 127.0.0.1:5985 --user 'SIMULATED\CloudAdmin' --password env:PEP_PASSWORD`, "a simulated stamp needs --scenario, or --listen, --user and --password")
	}
	return &pepsim.Scenario{
		Region: "local", FQDN: "azurestack.external", Identity: string(policies.AAD), Version: "1.2301.2.58", CloudID: pepsim.Mark + "-local",
		Listen: s.listen, TLS: s.tls, Users: []pepsim.ScenarioUser{{Name: s.user, Password: s.password}},
	}, nil, nil
}

// inScenario says where in a file each mistake stands, and what was probably meant.
func inScenario(name string, file []byte, err error) error {
	if name == "" {
		return fmt.Errorf("the simulated stamp: %w", err)
	}
	var mistakes pepsim.Mistakes
	if !errors.As(err, &mistakes) {
		mistakes = pepsim.Locate(file, err)
	}
	const most = 100
	var lines []string
	for i, m := range mistakes {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(mistakes)-most))
			break
		}
		p := stamp.Problem{File: name, Line: m.Line, Column: m.Column, Message: m.Message, Suggestion: stamp.Nearest(m.Word, m.Known)}
		if p.Suggestion == "" && len(m.Known) > 0 {
			p.Message += fmt.Sprintf(", wanted one of %v", m.Known)
		}
		lines = append(lines, p.String())
	}
	return errors.New(strings.Join(lines, "\n"))
}

// simulatedStamp resolves what a scenario refers to.
func (a *app) simulatedStamp(sc *pepsim.Scenario) (pepsim.Config, error) {
	cfg := pepsim.Config{Clock: a.env.Now}
	if err := sc.Orders(&cfg); err != nil {
		return cfg, err
	}
	for _, l := range sc.Listen {
		host, _, err := net.SplitHostPort(l)
		if err != nil {
			return cfg, fmt.Errorf("listen: %w", err)
		}
		cfg.ERCS = append(cfg.ERCS, host)
	}
	for _, u := range sc.Users {
		v, err := a.flagSecret(secret.PEP, "users", u.Password)
		if err != nil {
			return cfg, err
		}
		cfg.Users = append(cfg.Users, pepsim.User{Name: u.Name, Password: v, NoAccess: u.NoAccess})
	}
	var folders []pepsim.FolderShare
	for _, s := range sc.Shares {
		if s.Address != "" {
			continue
		}
		v, err := a.flagSecret(secret.Share, "shares", s.Password)
		if err != nil {
			return cfg, err
		}
		folders = append(folders, pepsim.FolderShare{UNC: s.UNC, Folder: a.path(s.Folder), User: s.User, Password: v.Reveal()})
	}
	cfg.OpenShare = overSMB(sc.Shares, pepsim.OpenFolders(folders))
	var err error
	if cfg.Endpoints, err = a.installedSet(sc); err != nil {
		return cfg, err
	}
	if sc.TLS {
		cert, err := ownCertificate(a.env.Now(), "127.0.0.1")
		if err != nil {
			return cfg, err
		}
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	return cfg, nil
}

// installedSet is what the stamp serves at first: a folder of PFX files, or certificates of its own making. It reads the
// files with another library than the one that judges them.
func (a *app) installedSet(sc *pepsim.Scenario) ([]pepsim.Endpoint, error) {
	policy, err := policies.Default()
	if err != nil {
		return nil, err
	}
	v, err := policies.ParseVersion(sc.Version)
	if err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	domain := sc.Region + "." + sc.FQDN
	var out []pepsim.Endpoint
	var password secret.Value
	if sc.Installed != "" {
		if password, err = a.flagSecret(secret.PFX, "installed-password", sc.InstalledPassword); err != nil {
			return nil, err
		}
	}
	var own tls.Certificate
	for _, e := range policy.Endpoints(v, policies.Identity(sc.Identity), nil) {
		one := pepsim.Endpoint{Folder: e.Folder, Name: e.Name(domain)}
		switch {
		case sc.Installed != "":
			one.Certificate, err = installedFile(filepath.Join(a.path(sc.Installed), e.Folder), password)
		case own.PrivateKey == nil:
			own, err = ownCertificate(a.env.Now(), one.Name)
			one.Certificate = own
		default:
			one.Certificate, err = pepsim.Certificate(a.env.Now(), one.Name, own.PrivateKey.(crypto.Signer)) //nolint:forcetypeassert // ours
		}
		if err != nil {
			return nil, fmt.Errorf("installed %s: %w", e.Folder, err)
		}
		out = append(out, one)
	}
	return out, nil
}

func installedFile(dir string, password secret.Value) (tls.Certificate, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return tls.Certificate{}, err
	}
	for _, e := range entries {
		if !strings.EqualFold(path.Ext(e.Name()), ".pfx") {
			continue
		}
		b, err := readBounded(root.FS(), e.Name(), maxFile)
		if err != nil {
			return tls.Certificate{}, err
		}
		key, leaf, chain, err := pkcs12.DecodeChain(b, password.Reveal())
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%s: %w", e.Name(), err)
		}
		cert := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
		for _, c := range chain {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		return cert, nil
	}
	return tls.Certificate{}, errors.New("no PFX in the folder")
}

func ownCertificate(now time.Time, name string) (tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tls.Certificate{}, err
	}
	return pepsim.Certificate(now, name, key)
}
