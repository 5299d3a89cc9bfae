package cli

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
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
	endpoint            string
	types               []string
	sealing             sealing
}

func (a *app) csrCommand() *cobra.Command {
	var r requesting
	cmd := &cobra.Command{
		Use:   "csr",
		Short: "make certificate requests and encrypted keys",
		Long: "Writes for each endpoint of a stamp a request (.req), the same for certreq on Windows (.inf), its specification (.yaml, .json) and the\n" +
			"private key, encrypted. A second run keeps what is there: a key is never overwritten. --new makes further requests with new keys, --renew\n" +
			"takes subject, key length and hash from the certificates that the endpoints serve now, --stamp-endpoint those of one endpoint for all.\n" +
			"Before anything is written, a throw-away CA answers the requests and the rules of certstamp validate judge what comes out.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.csr(cmd.Context(), r) },
	}
	a.stampFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&r.out, "out", "", "folder to write to (default: requests beside stamp.yaml)")
	f.StringVar(&r.subject, "subject", "", "distinguished name of the subject, such as C=US,O=Contoso; a CN stands in every request, without one each has its own name")
	f.IntVar(&r.keyBits, "key-bits", 0, "RSA key length: 2048, 3072 or 4096 (default: the shortest that the policy takes)")
	f.BoolVar(&r.single, "single", false, "one request for all endpoints; for development only")
	f.BoolVar(&r.renew, "renew", false, "make new requests with subject, key length and hash of what each endpoint serves now")
	f.StringVar(&r.endpoint, "stamp-endpoint", "", "renew all from what one endpoint serves: its host, or the stamp's domain <region>.<fqdn>; implies --renew")
	f.Var(list(&r.types), "type", "Deployment (default), AppServices, DBAdapter, EventHubs, IoTHub, AzureContainerRegistry, or all; repeatable")
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
	cmd.Flags().Var(list(&s.recipients), "recipient", "age recipient (age1…) to encrypt the keys to; repeatable")
	cmd.Flags().StringVar(&s.password, "key-password", "", "reference of a password to encrypt the keys with: env:PFX_… or file:PATH")
}

// shortestKeyPassword is as many characters as a log hides well. The PFX of the same key may have fewer, because the stamp
// takes them; a request waits for days, and nobody else demands anything of its key's password.
const shortestKeyPassword = 12

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
	if utf8.RuneCountInString(password.Reveal()) < shortestKeyPassword {
		return nil, configuration(fmt.Errorf("--key-password has fewer than %d characters: the keys lie in files that anybody may take away and guess at", shortestKeyPassword), "take 16 or more random characters")
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
	r.renew = r.renew || r.endpoint != ""
	if r.renew && (r.subject != "" || r.keyBits != 0) {
		return usagef("make new requests instead: --new with --subject and --key-bits", "a renewal keeps subject and key length of what is served: it takes no --subject and no --key-bits")
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	for _, flag := range [][2]string{{"--out", r.out}, {"--stamp-endpoint", r.endpoint}} {
		if flag[1] != "" && len(jobs) != 1 {
			return usagef("name one with --stamp stamps/NAME", "%s takes one stamp, found %d", flag[0], len(jobs))
		}
	}
	inputs := map[*job][]csr.Input{}
	for _, j := range jobs {
		types := []policies.CertificateType{policies.Deployment}
		if len(r.types) > 0 {
			if types, err = typesOf(j, r.types); err != nil {
				return err
			}
		}
		for _, t := range types {
			inputs[j] = append(inputs[j], csr.Input{
				Region: j.stamp.Region, FQDN: j.stamp.FQDN, Version: j.stamp.Version, Identity: j.stamp.Identity, Type: t,
				Optional: j.stamp.OptionalEndpoints, Subject: subject, KeyBits: r.keyBits, Single: r.single, AsOf: asOf,
			})
		}
		if r.renew {
			if err := a.checkTarget(j.stamp); err != nil {
				return err
			}
		}
	}
	sealKey, err := a.sealer(r.sealing)
	if err != nil {
		return err
	}
	var sets []*requested
	for _, j := range jobs {
		made, err := a.requests(ctx, j, r, inputs[j], sealKey)
		if err != nil {
			return err
		}
		sets = append(sets, made...)
	}
	if err := a.tryOut(ctx, sets, asOf); err != nil {
		return err
	}
	for _, set := range sets {
		if err := a.writeRequests(set, r.out); err != nil {
			return err
		}
	}
	return nil
}

// typesOf reads --type: the words of the readiness tools, in any case. All means what the stamp's release has.
func typesOf(j *job, names []string) ([]policies.CertificateType, error) {
	known := j.policy.Types()
	var out []policies.CertificateType
	for _, name := range names {
		if strings.EqualFold(name, "all") {
			out = append(out, slices.DeleteFunc(slices.Clone(known), func(t policies.CertificateType) bool {
				return len(j.policy.TypeEndpoints(t, j.stamp.Version)) == 0
			})...)
			continue
		}
		t, ok := typeNamed(known, name)
		if !ok {
			return nil, usagef("give one of "+typeList(known)+", or all", "--type %q is no type of certificates", name)
		}
		if len(j.policy.TypeEndpoints(t, j.stamp.Version)) == 0 {
			return nil, usagef("leave it out, or correct version in stamp.yaml", "stamp %s: release %s has no certificates of the type %s", j.stamp.Name, j.stamp.Version, t)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y policies.CertificateType) int {
		return cmp.Compare(slices.Index(known, x), slices.Index(known, y))
	})
	return slices.Compact(out), nil
}

// requested is the set of one type of a stamp: made, but not yet written.
type requested struct {
	job      *job
	kind     policies.CertificateType
	manifest *csr.Manifest
	made     []made
	kept     int
	findings []validate.Finding // of the trial: warnings only, else nothing is written
}

// requestsBelow is where the requests of a type lie, below the folder of all requests.
func requestsBelow(t policies.CertificateType) string {
	if t == policies.Deployment {
		return "."
	}
	return string(t)
}

// shownType is the type in a report, which leaves out the one that every stamp has.
func (r *requested) shownType() string {
	if r.kind == policies.Deployment {
		return ""
	}
	return string(r.kind)
}

// requests makes what is missing of one stamp, in memory.
func (a *app) requests(ctx context.Context, j *job, r requesting, inputs []csr.Input, sealKey seal) ([]*requested, error) {
	all, err := a.specs(ctx, j, r, inputs)
	if err != nil {
		return nil, err
	}
	var out []*requested
	for i, specs := range all {
		set := &requested{job: j, kind: inputs[i].Type}
		root, shown, err := a.openRequests(j.stamp, r.out, requestsBelow(set.kind), false)
		if err != nil {
			return nil, err
		}
		if root != nil {
			defer root.Close()
		}
		if set.manifest, err = readManifest(root, j.stamp.Domain()); err != nil {
			return nil, configuration(fmt.Errorf("stamp %s: %s: %w", j.stamp.Name, shown, err), "")
		}
		var todo []csr.Spec
		for _, spec := range specs {
			if !r.anew && !r.renew && slices.ContainsFunc(set.manifest.Requests, func(e csr.Entry) bool { return answers(root, e, spec) }) {
				set.kept++
				continue
			}
			todo = append(todo, spec)
		}
		if set.made, err = generate(ctx, todo, sealKey); err != nil {
			return nil, err
		}
		for _, m := range set.made {
			if root != nil && there(root, m.Spec.Stem+m.ext) {
				return nil, configuration(fmt.Errorf("stamp %s: %q is there already: a key is never overwritten", j.stamp.Name, path.Join(shown, m.Spec.Stem+m.ext)), "run again in a second, or give another --as-of")
			}
		}
		out = append(out, set)
	}
	return out, nil
}

// openRequests opens the folder of a stamp's requests of one type. Without create, a folder that is not there is nil: so
// that a run which ends in an error leaves nothing behind, not even that.
func (a *app) openRequests(s *stamp.Stamp, flag, below string, create bool) (root *os.Root, shown string, err error) {
	shown = path.Join(s.Dir, requestsFolder, below)
	if flag != "" {
		shown = path.Join(filepath.ToSlash(flag), below)
		dir := filepath.Join(a.path(flag), below)
		if create {
			if err = makeFolder(a.path(flag), 0o755); err == nil {
				err = os.MkdirAll(dir, 0o755) // what is below is ours
			}
		}
		if err == nil {
			root, err = os.OpenRoot(dir)
		}
	} else {
		var repo *stamp.Repository
		if repo, err = a.repository(); err != nil {
			return nil, shown, err
		}
		if create {
			root, err = repo.Make(shown)
		} else {
			root, err = repo.Sub(shown)
		}
	}
	switch {
	case err == nil:
		return root, shown, nil
	case !create && errors.Is(err, fs.ErrNotExist):
		return nil, shown, nil
	}
	return nil, shown, configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
}

// writeRequests writes a set. The manifest comes first: a key that lies there is always one it names. It is written by one run at
// a time, and by none that has not seen what it replaces.
func (a *app) writeRequests(set *requested, out string) error {
	s := set.job.stamp
	root, shown, err := a.openRequests(s, out, requestsBelow(set.kind), true)
	if err != nil {
		return err
	}
	defer root.Close()
	entry := report.Stamp{Stamp: s.Name, Type: set.shownType(), Simulated: s.Simulated, Outcome: "requested", Findings: set.findings}
	if len(set.made) > 0 {
		release, err := aloneIn(root, shown, "certstamp csr")
		if err != nil {
			return err
		}
		defer release()
		manifest, err := readManifest(root, s.Domain())
		switch {
		case err != nil:
			return configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
		case !reflect.DeepEqual(manifest, set.manifest): // to know ours it would have to forget theirs, and which are sent to the CA?
			return environment("locked", fmt.Errorf("stamp %s: another run has made requests in %s meanwhile, and these are not written", s.Name, shown),
				"run certstamp csr again: without --new and --renew it keeps what the other run has made")
		}
		manifest.Requests = slices.DeleteFunc(manifest.Requests, func(e csr.Entry) bool { return !there(root, e.Key) && !there(root, e.Request) })
		for _, m := range set.made {
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
		for _, m := range set.made {
			files, err := m.write(root)
			for _, f := range files {
				a.doc.Files = append(a.doc.Files, path.Join(shown, f))
			}
			if err != nil {
				return configuration(fmt.Errorf("stamp %s: %w", s.Name, err), "")
			}
		}
	}
	entry.Message = fmt.Sprintf("%s: %s made, %d kept, in %s", s.Name, amount.Of(len(set.made), "request"), set.kept, shown)
	entry.Facts = notes(set.made)
	home := path.Dir(shown)
	if set.kind != policies.Deployment {
		home = path.Dir(home)
	}
	entry.Next = fmt.Sprintf("let the CA answer the .req files, put its answers into %s, then run certstamp pack", path.Join(home, issuedFolder))
	a.doc.Stamps = append(a.doc.Stamps, entry)
	return nil
}

// notes are what the specs have to say, each once.
func notes(list []made) []report.Fact {
	var out []report.Fact
	for _, m := range list {
		for _, n := range m.Spec.Notes {
			if f := (report.Fact{Name: "note", Value: n}); !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// readManifest reads the manifest of a folder, or begins one. A nil root is a folder that is not there yet.
func readManifest(root *os.Root, domain string) (*csr.Manifest, error) {
	first := &csr.Manifest{SchemaVersion: 1, Domain: domain, Requests: []csr.Entry{}}
	if root == nil {
		return first, nil
	}
	b, err := readBounded(root.FS(), csr.ManifestName, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
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
	var wg crew.Group
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

// write puts the files of one request down: the key first, because a request without one must never go out, and the request last,
// because once both are there the next run makes nothing anew.
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
	}{{".inf", m.Spec.INF()}, {".yaml", words}, {".json", append(spec, '\n')}, {".req", m.PEM()}} {
		if err := replaceIn(root, m.Spec.Stem+f.ext, f.b, 0o644); err != nil {
			return written, err
		}
		written = append(written, m.Spec.Stem+f.ext)
	}
	return written, nil
}
