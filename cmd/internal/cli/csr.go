package cli

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
)

// requests is the folder of a stamp's requests and keys, issued that of the CA's answers.
const (
	requestsFolder = "requests"
	issuedFolder   = "issued"
)

// requesting is what certstamp csr was told.
type requesting struct {
	out, subject, asOf  string
	keyBits             int
	single, renew, anew bool
	sealing             sealing
}

func (a *app) csrCommand() *cobra.Command {
	var r requesting
	cmd := &cobra.Command{
		Use:   "csr",
		Short: "make certificate requests and encrypted keys",
		Long: "Writes for each endpoint of a stamp a request (.req), the same for certreq on Windows (.inf), its specification (.yaml, .json) and the\n" +
			"private key, encrypted. A second run keeps what is there: a key is never overwritten. --new makes further requests with new keys, --renew\n" +
			"takes subject and key length from the certificates that the endpoints serve now.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.csr(cmd.Context(), r) },
	}
	a.stampFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&r.out, "out", "", "folder to write to (default: requests beside stamp.yaml)")
	f.StringVar(&r.subject, "subject", "", "distinguished name of the subject without CN, such as C=US,O=Contoso")
	f.IntVar(&r.keyBits, "key-bits", 0, "RSA key length: 2048 (default), 3072 or 4096")
	f.BoolVar(&r.single, "single", false, "one request for all endpoints; for development only")
	f.BoolVar(&r.renew, "renew", false, "make new requests with subject and key length of what is served now")
	f.BoolVar(&r.anew, "new", false, "make new requests although there are some")
	f.StringVar(&r.asOf, "as-of", "", "time in the file names, RFC 3339 (default: now)")
	r.sealing.flags(cmd)
	return cmd
}

// sealing says how private keys are encrypted: to age recipients or with a password.
type sealing struct {
	recipients []string
	password   string
}

func (s *sealing) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.recipients, "recipient", nil, "age recipient (age1…) to encrypt the keys to; repeatable")
	cmd.Flags().StringVar(&s.password, "key-password", "", "reference of a password to encrypt the keys with: env:PFX_… or file:PATH")
}

// seal encrypts one key; ext is what its file name ends in.
type seal func(crypto.Signer) (b []byte, ext string, err error)

func (a *app) sealer(s sealing) (seal, error) {
	if len(s.recipients) > 0 == (s.password != "") {
		return nil, usagef("give --key-password env:PFX_KEY_PASSWORD, or --recipient age1…", "a private key is never written in clear: say how to encrypt it, in exactly one way")
	}
	if s.password == "" {
		to, err := recipients(s.recipients)
		if err != nil {
			return nil, err
		}
		return func(k crypto.Signer) ([]byte, string, error) {
			b, err := csr.SealAge(k, to...)
			return b, ".key.age", err
		}, nil
	}
	password, err := a.flagSecret(secret.PFX, "--key-password", s.password)
	if err != nil {
		return nil, err
	}
	return func(k crypto.Signer) ([]byte, string, error) {
		b, err := pfx.EncryptKey(k, password.Reveal(), 0, nil)
		return b, ".key", err
	}, nil
}

func recipients(list []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, text := range list {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, usagef("make one with age-keygen and give its public half", "--recipient %q is not an age recipient", text)
		}
		out = append(out, r)
	}
	return out, nil
}

// flagSecret resolves a reference that was given on the command line.
func (a *app) flagSecret(role secret.Role, flag, text string) (secret.Value, error) {
	ref, err := secret.ParseRef(role, text)
	if err != nil {
		// The error never repeats the text: it may be the secret itself.
		return secret.Value{}, usagef(fmt.Sprintf("write %s env:%s_… or file:PATH", flag, role), "%s: %w", flag, err)
	}
	return a.secret(ref, flag)
}

func (a *app) csr(ctx context.Context, r requesting) error {
	asOf, err := a.asOf(r.asOf)
	if err != nil {
		return err
	}
	subject, err := csr.ParseSubject(r.subject)
	if err != nil {
		return usagef("write it as C=US,O=Contoso; put values with commas in quotes", "--subject: %w", err)
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	if r.out != "" && len(jobs) != 1 {
		return usagef("name one with --stamp stamps/NAME", "--out takes one stamp, found %d", len(jobs))
	}
	sealKey, err := a.sealer(r.sealing)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if r.renew {
			if err := a.checkTarget(j.stamp); err != nil {
				return err
			}
		}
	}
	for _, j := range jobs {
		specs, err := a.specs(ctx, j, r, csr.Input{
			Region: j.stamp.Region, FQDN: j.stamp.FQDN, Version: j.stamp.Version, Identity: j.stamp.Identity,
			Optional: j.stamp.OptionalEndpoints, Subject: subject, KeyBits: r.keyBits, Single: r.single, AsOf: asOf,
		})
		if err != nil {
			return err
		}
		if err := a.request(ctx, j.stamp, r, specs, sealKey); err != nil {
			return err
		}
	}
	return nil
}

// specs says what the requests of one stamp must hold. A renewal keeps what each endpoint's certificate says today.
func (a *app) specs(ctx context.Context, j *job, r requesting, in csr.Input) ([]csr.Spec, error) {
	if !r.renew {
		specs, err := csr.Specs(j.policy, in)
		if err != nil {
			return nil, usagef("", "stamp %s: %w", j.stamp.Name, err)
		}
		return specs, nil
	}
	targets := targetsOf(j)
	looker := observer(j.stamp.Simulated)
	looker.Samples = 1
	a.progress("reading what %d endpoints of %s serve", len(targets), j.stamp.Name)
	own := map[string]csr.Input{}
	var unread []error
	for _, seen := range looker.Observe(ctx, targets) {
		s := seen.Leaf()
		if s.Err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", s.Host, s.Err))
			continue
		}
		live, err := csr.FromLive(s.Chain[0], in)
		if err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", s.Host, err))
			continue
		}
		live.KeyBits = max(live.KeyBits, in.KeyBits)
		own[seen.Target.Endpoint] = live
	}
	if len(unread) > 0 {
		return nil, environment("network", fmt.Errorf("stamp %s: nothing to renew from:\n%w", j.stamp.Name, errors.Join(unread...)), "reach every endpoint from here, or make new requests with --new --subject")
	}
	var out []csr.Spec
	for i, e := range j.policy.Endpoints(j.stamp.Version, j.stamp.Identity, j.stamp.OptionalEndpoints) {
		specs, err := csr.Specs(j.policy, own[e.ID])
		if err != nil {
			return nil, usagef("", "stamp %s: %w", j.stamp.Name, err)
		}
		if r.single {
			return specs, nil
		}
		out = append(out, specs[i])
	}
	return out, nil
}

// request writes what is missing. The manifest comes first: a key that lies there is always one it names.
func (a *app) request(ctx context.Context, s *stamp.Stamp, r requesting, specs []csr.Spec, sealKey seal) error {
	root, shown, err := a.besideStamp(s, r.out, requestsFolder)
	if err != nil {
		return configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
	}
	defer root.Close()
	manifest, err := readManifest(root, s.Domain())
	if err != nil {
		return configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
	}
	var todo []csr.Spec
	kept := 0
	for _, spec := range specs {
		if !r.anew && !r.renew && slices.ContainsFunc(manifest.Requests, func(e csr.Entry) bool { return answers(root, e, spec) }) {
			kept++
			continue
		}
		todo = append(todo, spec)
	}
	entry := report.Stamp{Stamp: s.Name, Simulated: s.Simulated, Outcome: "requested"}
	if len(todo) > 0 {
		made, err := generate(ctx, todo, sealKey)
		if err != nil {
			return err
		}
		manifest.Requests = slices.DeleteFunc(manifest.Requests, func(e csr.Entry) bool { return !there(root, e.Key) && !there(root, e.Request) })
		for _, m := range made {
			if there(root, m.Spec.Stem+m.ext) {
				return configuration(fmt.Errorf("stamp %s: %q is there already: a key is never overwritten", s.Name, path.Join(shown, m.Spec.Stem+m.ext)), "run again in a second, or give another --as-of")
			}
			manifest.Requests = append(manifest.Requests, csr.Entry{
				Folders: m.Spec.Folders, Names: m.Spec.Names, Request: m.Spec.Stem + ".req", Key: m.Spec.Stem + m.ext, SPKI: m.SPKI,
			})
		}
		b, err := json.MarshalIndent(manifest, "", "  ")
		if err != nil {
			return err
		}
		if err := replaceIn(root, csr.ManifestName, append(b, '\n'), 0o644); err != nil {
			return configuration(fmt.Errorf("stamp %s: %w", s.Name, err), "")
		}
		for _, m := range made {
			files, err := m.write(root)
			for _, f := range files {
				a.doc.Files = append(a.doc.Files, path.Join(shown, f))
			}
			if err != nil {
				return configuration(fmt.Errorf("stamp %s: %w", s.Name, err), "")
			}
		}
	}
	entry.Message = fmt.Sprintf("%s: %d requests made, %d kept, in %s", s.Name, len(todo), kept, shown)
	entry.Next = fmt.Sprintf("let the CA answer the .req files, put its answers into %s, then run certstamp pack", path.Join(path.Dir(shown), issuedFolder))
	a.doc.Stamps = append(a.doc.Stamps, entry)
	return nil
}

// readManifest reads the manifest of a folder, or begins one.
func readManifest(root *os.Root, domain string) (*csr.Manifest, error) {
	b, err := readBounded(root.FS(), csr.ManifestName, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &csr.Manifest{SchemaVersion: 1, Domain: domain, Requests: []csr.Entry{}}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := csr.ReadManifest(b)
	if err != nil {
		return nil, err
	}
	if m.Domain != domain {
		return nil, fmt.Errorf("the requests there are for %q, this stamp is %q", m.Domain, domain)
	}
	return m, nil
}

// answers reports whether an earlier request is what spec asks for, and whole.
func answers(root *os.Root, e csr.Entry, spec csr.Spec) bool {
	return slices.Equal(e.Folders, spec.Folders) && slices.Equal(e.Names, spec.Names) && there(root, e.Key) && there(root, e.Request)
}

func there(root *os.Root, name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := root.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// made is one request with its key sealed.
type made struct {
	csr.Request
	sealed []byte
	ext    string
}

// generate makes keys and requests side by side: finding primes is what takes the time.
func generate(ctx context.Context, specs []csr.Spec, sealKey seal) ([]made, error) {
	out := make([]made, len(specs))
	failed := make([]error, len(specs))
	var wg sync.WaitGroup
	for i, s := range specs {
		wg.Go(func() {
			if failed[i] = ctx.Err(); failed[i] != nil {
				return
			}
			r, err := s.Generate(nil)
			if err == nil {
				out[i].Request = r
				out[i].sealed, out[i].ext, err = sealKey(r.Key)
			}
			failed[i] = err
		})
	}
	wg.Wait()
	return out, errors.Join(failed...)
}

// write puts the files of one request down, the key first.
func (m made) write(root *os.Root) ([]string, error) {
	spec, err := json.MarshalIndent(m.Spec, "", "  ")
	if err != nil {
		return nil, err
	}
	words, err := yaml.Marshal(m.Spec)
	if err != nil {
		return nil, err
	}
	if err := createIn(root, m.Spec.Stem+m.ext, m.sealed, 0o600); err != nil {
		return nil, err
	}
	written := []string{m.Spec.Stem + m.ext}
	for _, f := range []struct {
		ext string
		b   []byte
	}{{".req", m.PEM()}, {".inf", m.Spec.INF()}, {".yaml", words}, {".json", append(spec, '\n')}} {
		if err := replaceIn(root, m.Spec.Stem+f.ext, f.b, 0o644); err != nil {
			return written, err
		}
		written = append(written, m.Spec.Stem+f.ext)
	}
	return written, nil
}
