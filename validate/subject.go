package validate

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the thumbprint Windows shows is SHA-1; it names a certificate and protects nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// Subject is one file of the set, read as far as it could be. What later rooms need of an opened bundle is here.
type Subject struct {
	Endpoint policies.Endpoint // zero when the folder belongs to no endpoint
	Folder   string            // canonical spelling when the folder is an endpoint's
	File     string            // name in the repository: ACSBlob.pfx or ACSBlob.pfx.age
	Path     string

	Size       int64  // of the PFX; 0 while sealed
	BlobSHA256 string // of the file in the repository
	PFXSHA256  string // empty while sealed

	Facts        *pfx.Facts          // nil when the file is sealed or unreadable
	Bundle       *pfx.Bundle         // nil without the password
	Leaf         *x509.Certificate   // from the bundle, or from the twin when there is no password
	Certificates []*x509.Certificate // file order
	Chain        []*x509.Certificate // leaf first, upwards by issuer and signature
	Strangers    []*x509.Certificate // certificates with no place in Chain
	FromTwin     bool                // Leaf and what follows it were read from the public twin
	Class        Classification

	run     *run
	aged    bool
	rooted  bool // the top of Chain is self-signed
	readErr error
	openErr error
	twin    []*x509.Certificate
	hasTwin bool
	twinErr error
}

// run is what all subjects of a run share. It is read-only once made.
type run struct {
	Input
	required  []policies.Endpoint // what the set must hold
	catalogue []policies.Endpoint // what its type knows, of every release
	anchors   *anchorIndex
}

func newRun(in Input) *run {
	if in.Type == "" {
		in.Type = policies.Deployment
	}
	r := &run{Input: in, catalogue: in.Policy.TypeCatalogue(in.Type), anchors: indexAnchors(in.Anchors)}
	if in.Type == policies.Deployment {
		r.required = in.Policy.Endpoints(in.Version, in.Identity, in.Optional)
		return r
	}
	r.required = in.Policy.TypeEndpoints(in.Type, in.Version)
	if len(r.required) == 0 {
		// No document names the provider at this release, but somebody has its certificates: they are judged all the same.
		r.required = r.catalogue
	}
	return r
}

// deployment reports whether the set is the one that a rotation takes.
func (r *run) deployment() bool { return r.Type == "" || r.Type == policies.Deployment }

// Thumbprint is the leaf's SHA-1 as Windows shows it, or "".
func (s *Subject) Thumbprint() string {
	if s.Leaf == nil {
		return ""
	}
	sum := sha1.Sum(s.Leaf.Raw) //nolint:gosec // see the import
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// LeafSHA256 is the lower-case hex SHA-256 of the leaf, or "".
func (s *Subject) LeafSHA256() string {
	if s.Leaf == nil {
		return ""
	}
	return hexSHA256(s.Leaf.Raw)
}

// SPKISHA256 is the lower-case hex SHA-256 of the leaf's public key, or "".
func (s *Subject) SPKISHA256() string {
	if s.Leaf == nil {
		return ""
	}
	return hexSHA256(s.Leaf.RawSubjectPublicKeyInfo)
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *Subject) params(id string) policies.RuleParameters { return s.run.Policy.Rule(id) }

func (s *Subject) asOf() time.Time { return s.run.AsOf }

// sealed reports whether the file is encrypted around its PFX and nobody opened it.
func (s *Subject) sealed() bool { return s.PFXSHA256 == "" }

// withoutPassword reports whether nobody tried a password.
func (s *Subject) withoutPassword() bool { return s.run.NoPassword }

// open reads a file as far as the run allows.
func open(ctx context.Context, r *run, f File) *Subject {
	s := &Subject{run: r, Path: f.Path, File: path.Base(f.Path), BlobSHA256: hexSHA256(f.Blob)}
	dir := path.Base(path.Dir(f.Path))
	if dir == "." || dir == "/" {
		dir = "" // in no folder
	}
	s.Folder = dir
	if e, ok := endpointOf(r, dir); ok {
		s.Endpoint = e
		if strings.EqualFold(e.Folder, dir) {
			s.Folder = e.Folder
		}
	}
	if f.Err != nil {
		s.readErr, s.BlobSHA256 = &unreadError{f.Err}, ""
		return s
	}
	if len(f.Twin) > 0 {
		s.hasTwin = true
		s.twin, s.twinErr = pfx.ParseCertificates(f.Twin)
	}
	s.aged = aged(f)
	b := f.PFX
	if len(b) == 0 && !s.aged {
		b = f.Blob // a bare PFX is its own blob, and an empty one is broken, not sealed
	}
	if len(b) > 0 || !s.aged {
		s.PFXSHA256, s.Size = hexSHA256(b), int64(len(b))
		s.readPFX(ctx, b)
	}
	if s.Bundle == nil && r.NoPassword && s.twinErr == nil && len(s.twin) > 0 {
		s.FromTwin = true
		s.take(s.twin, nil)
	}
	return s
}

// aged reports whether what lies in the repository is an age file, binary or armoured.
func aged(f File) bool {
	return strings.HasSuffix(strings.ToLower(f.Path), ".age") ||
		bytes.HasPrefix(f.Blob, []byte("age-encryption.org/")) || bytes.HasPrefix(f.Blob, []byte("-----BEGIN AGE ENCRYPTED FILE-----"))
}

func (s *Subject) readPFX(ctx context.Context, b []byte) {
	limits := pfx.DefaultLimits()
	if s.Facts, s.readErr = pfx.Read(b, limits); s.readErr != nil {
		s.Facts = nil
		return
	}
	if s.run.NoPassword {
		return
	}
	if s.Bundle, s.openErr = pfx.Open(ctx, b, s.run.Password, limits); s.openErr != nil {
		s.Bundle = nil
		return
	}
	s.Facts = &s.Bundle.Facts
	s.take(s.Bundle.X509(), s.Bundle.LeafCertificate())
}

// take sets leaf and chain. Without a matching key the leaf is a guess, so that a missing key does not hide what else is
// wrong with the certificate.
func (s *Subject) take(list []*x509.Certificate, leaf *x509.Certificate) {
	s.Certificates = list
	if leaf == nil {
		leaf = guessLeaf(list)
	}
	if leaf == nil {
		return
	}
	s.Leaf = leaf
	known := s.run.anchors.signatures
	s.Chain, s.Strangers = known.Walk(leaf, list) // a second copy of the leaf is a stranger
	s.rooted = known.SelfSigned(s.Chain[len(s.Chain)-1])
}

// root reports whether place i of the chain is its self-signed root.
func (s *Subject) root(i int) bool { return s.rooted && i == len(s.Chain)-1 }

// guessLeaf picks the first certificate that is no CA and issued none of the others, else the first.
func guessLeaf(list []*x509.Certificate) *x509.Certificate {
	for _, c := range list {
		issuer := c.IsCA
		for _, other := range list {
			issuer = issuer || !other.Equal(c) && bytes.Equal(other.RawIssuer, c.RawSubject)
		}
		if !issuer {
			return c
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}

// endpointOf finds the endpoint of a folder: by its name without case, as Windows compares, or by another spelling met in
// documents. Endpoints this stamp has are preferred, then those of its release: a folder may have several entries.
func endpointOf(r *run, folder string) (policies.Endpoint, bool) {
	inSpan := slices.DeleteFunc(slices.Clone(r.catalogue), func(e policies.Endpoint) bool { return !e.Span.Has(r.Version) })
	for _, list := range [][]policies.Endpoint{r.required, inSpan, r.catalogue} {
		for _, e := range list {
			if strings.EqualFold(e.Folder, folder) {
				return e, true
			}
		}
		for _, e := range list {
			for _, also := range e.Also {
				if strings.EqualFold(also, folder) {
					return e, true
				}
			}
		}
	}
	return policies.Endpoint{}, false
}

// MaskThumbprint shows the first and the last six digits of a thumbprint, as the ReadinessChecker does in its console.
func MaskThumbprint(s string) string {
	const shown = 6
	if len(s) <= 2*shown {
		return strings.Repeat("*", len(s))
	}
	return s[:shown] + strings.Repeat("*", len(s)-2*shown) + s[len(s)-shown:]
}
