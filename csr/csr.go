// Package csr reads the policy forwards: from a stamp's facts to certificate requests that a CA can answer and the rules
// accept.
//
// Specs says what each request must hold, Spec.Generate makes key and PKCS#10, Spec.INF is the same for certreq on
// Windows. Nothing here writes a file; a key leaves the package only as a crypto.Signer or sealed.
//
// File names, subject rules and usages follow the readiness tools (CSR-1909, CSR-2204, CSR-2508), so that operators find
// their way.
package csr

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/certstamp/certstamp/policies"
)

// Input is what the requests of one stamp are made from.
type Input struct {
	Region   string
	FQDN     string // without the region
	Version  policies.Version
	Identity policies.Identity
	Optional []string
	Type     policies.CertificateType // empty means Deployment
	Subject  Subject                  // empty: only a CN
	KeyBits  int                      // 2048, 3072 or 4096; 0 means the shortest that the policy takes
	Hash     string                   // SHA256, SHA384 or SHA512; empty means SHA256
	Single   bool                     // one request for all endpoints: for development only (PKI-1912)
	Notes    []string
	AsOf     time.Time
}

// Spec is one request before it is made.
type Spec struct {
	Stem     string   `yaml:"stem" json:"stem"` // of the file names, without extension
	Folders  []string `yaml:"folders" json:"folders"`
	Names    []string `yaml:"dns-names" json:"dnsNames"`
	Subject  string   `yaml:"subject" json:"subject"`
	KeyBits  int      `yaml:"key-bits" json:"keyBits"`
	Hash     string   `yaml:"hash" json:"hash"`
	KeyUsage []string `yaml:"key-usage" json:"keyUsage"`
	EKU      []string `yaml:"extended-key-usage" json:"extendedKeyUsage"`
	Notes    []string `yaml:"notes,omitempty" json:"notes,omitempty"`

	subject Subject
}

// Request is a made request with its key.
type Request struct {
	Spec Spec
	DER  []byte
	Key  crypto.Signer
	SPKI string // hex SHA-256 of the public key: how the CA's answer finds its key again
}

// Extended key usages (RFC 5280, section 4.2.1.12).
var (
	serverAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	clientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// maxCN is the upper bound of a common name (X.520, ub-common-name).
const maxCN = 64

// KeySizes are the RSA sizes that may be asked for.
var KeySizes = []int{2048, 3072, 4096}

// hashes are the hash algorithms of a request, under the names that certreq has for them too.
var hashes = map[string]x509.SignatureAlgorithm{"SHA256": x509.SHA256WithRSA, "SHA384": x509.SHA384WithRSA, "SHA512": x509.SHA512WithRSA}

// Specs makes one spec for each endpoint of a type, or one for all of Deployment. The names come in the order in which the readiness tools print
// them: wildcards first, then hosts, each sorted. Whether an issued certificate would pass is not decided here: that is
// what the rules in package validate are for, and they hold for requests too.
func Specs(p *policies.Policy, in Input) ([]Spec, error) {
	if in.KeyBits == 0 {
		least := p.Rule("key-length").Int("min-bits")
		i := slices.IndexFunc(KeySizes, func(n int) bool { return n >= least })
		if i < 0 {
			return nil, fmt.Errorf("the policy wants a key of at least %d bits, and a request has %s", least, keySizes())
		}
		in.KeyBits = KeySizes[i]
	}
	if !slices.Contains(KeySizes, in.KeyBits) {
		return nil, fmt.Errorf("key of %d bits, wanted %s", in.KeyBits, keySizes())
	}
	in.Hash = cmp.Or(in.Hash, "SHA256")
	if _, known := hashes[in.Hash]; !known {
		return nil, fmt.Errorf("hash %q, wanted SHA256, SHA384 or SHA512", in.Hash)
	}
	domain := strings.ToLower(in.Region + "." + in.FQDN)
	in.Type = cmp.Or(in.Type, policies.Deployment)
	endpoints := Endpoints(p, in)
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("release %s has no certificates of the type %s", in.Version, in.Type)
	}
	stamp := "_CertRequest_" + in.AsOf.UTC().Format("20060102150405")
	if in.Single && in.Type == policies.Deployment {
		var folders, names []string
		for _, e := range endpoints {
			folders, names = append(folders, e.Folder), append(names, e.Names(domain)...)
		}
		s := newSpec(p, in, "Deployment_"+fileName(domain)+"_SingleCSR"+stamp, folders, names)
		s.Notes = append(s.Notes, "one certificate for all endpoints is for development only")
		return []Spec{s}, nil
	}
	var out []Spec
	for _, e := range endpoints {
		out = append(out, newSpec(p, in, fileName(e.Name(domain))+stamp, []string{e.Folder}, e.Names(domain)))
	}
	if in.Single && len(out) > 1 {
		// The single hosts of App Service take no certificate but their own (PKI-2508).
		return nil, fmt.Errorf("%s has %d certificates, and none may stand in for another: one request for all is for %s", in.Type, len(out), policies.Deployment)
	}
	return out, nil
}

// Endpoints are what Specs makes requests for.
func Endpoints(p *policies.Policy, in Input) []policies.Endpoint {
	if in.Type == "" || in.Type == policies.Deployment {
		return p.Endpoints(in.Version, in.Identity, in.Optional)
	}
	return p.TypeEndpoints(in.Type, in.Version)
}

func newSpec(p *policies.Policy, in Input, stem string, folders, names []string) Spec {
	sortNames(names)
	s := Spec{
		Stem: stem, Folders: folders, Names: names, KeyBits: in.KeyBits, Hash: in.Hash, Notes: slices.Clone(in.Notes),
		KeyUsage: []string{"digitalSignature", "keyEncipherment"}, EKU: []string{"serverAuth"},
		subject: slices.Clone(in.Subject),
	}
	if p.Rule("key-usage").String("client-auth") != "ignore" {
		s.EKU = append(s.EKU, "clientAuth")
	}
	if !s.subject.has("CN") {
		if cn := names[0]; len(cn) <= maxCN {
			s.subject = append(s.subject, Attribute{Type: "CN", Value: cn})
		} else {
			s.Notes = append(s.Notes, fmt.Sprintf("no CN: %s is longer than %d characters, the name stands in the SAN only", cn, maxCN))
		}
	}
	s.Subject = s.subject.String()
	return s
}

// fileName is how the readiness tools turn a DNS name into a file name.
func fileName(name string) string {
	return strings.NewReplacer("*", "wildcard", ".", "_").Replace(name)
}

func sortNames(names []string) {
	sort.Slice(names, func(i, j int) bool {
		a, b := strings.HasPrefix(names[i], "*."), strings.HasPrefix(names[j], "*.")
		if a != b {
			return a
		}
		return names[i] < names[j]
	})
}

// Generate makes a new RSA key and the request. A nil random source means the system's; the key always comes from the
// system's source, because the standard library takes no other.
func (s Spec) Generate(random io.Reader) (Request, error) {
	key, err := rsa.GenerateKey(rand.Reader, s.KeyBits)
	if err != nil {
		return Request{}, fmt.Errorf("key for %s: %w", s.Names[0], err)
	}
	return s.GenerateWith(key, random)
}

// GenerateWith makes the request for a key that exists.
func (s Spec) GenerateWith(key crypto.Signer, random io.Reader) (Request, error) {
	if random == nil {
		random = rand.Reader
	}
	subject, err := s.subject.marshal()
	if err != nil {
		return Request{}, fmt.Errorf("subject of %s: %w", s.Names[0], err)
	}
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3}) // digitalSignature, keyEncipherment
	if err != nil {
		return Request{}, err
	}
	oids := []asn1.ObjectIdentifier{serverAuth}
	if slices.Contains(s.EKU, "clientAuth") {
		oids = append(oids, clientAuth)
	}
	extended, err := asn1.Marshal(oids)
	if err != nil {
		return Request{}, err
	}
	names, err := alternativeNames(s.Names)
	if err != nil {
		return Request{}, fmt.Errorf("names of %s: %w", s.Names[0], err)
	}
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{
		RawSubject:         subject,
		SignatureAlgorithm: hashes[s.Hash],
		ExtraExtensions: []pkix.Extension{
			// A certificate without a subject must have its names critical (RFC 5280, section 4.2.1.6): some CAs copy what
			// the request says.
			{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: len(s.subject) == 0, Value: names},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: usage},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: extended},
		},
	}, key)
	if err != nil {
		return Request{}, fmt.Errorf("request for %s: %w", s.Names[0], err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Request{}, err
	}
	sum := sha256.Sum256(spki)
	return Request{Spec: s, DER: der, Key: key, SPKI: hex.EncodeToString(sum[:])}, nil
}

// alternativeNames is the value of a subjectAltName extension with DNS names.
func alternativeNames(names []string) ([]byte, error) {
	const dNSName = 2 // GeneralName, RFC 5280, section 4.2.1.6
	var out []asn1.RawValue
	for _, n := range names {
		if strings.ContainsFunc(n, func(r rune) bool { return r > unicode.MaxASCII }) {
			return nil, fmt.Errorf("%q is not ASCII: write region and fqdn in their xn-- form", n)
		}
		out = append(out, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dNSName, Bytes: []byte(n)})
	}
	return asn1.Marshal(out)
}

// FromLive takes over what a renewal keeps of the certificate that is served now: subject, key length and the hash of the
// signature. The CN is left to each request, because a live certificate's CN belongs to its own endpoint. What no CA may
// sign any more, a short key or SHA-1, is raised and noted; everything that cannot be carried over is said at once, and
// then only a new request helps. Whether the certificate is valid or trusted does not matter: it is only read.
func FromLive(c *x509.Certificate, in Input) (Input, error) {
	var problems []error
	subject, err := subjectOf(c.RawSubject)
	if err != nil {
		problems = append(problems, fmt.Errorf("the subject of the live certificate %w", err))
	}
	in.Subject = slices.DeleteFunc(subject, func(a Attribute) bool { return a.Type == "CN" })
	in.Notes = slices.Clone(in.Notes)
	switch key, ok := c.PublicKey.(*rsa.PublicKey); {
	case !ok:
		problems = append(problems, fmt.Errorf("the live certificate has a key of kind %s, and a request here has RSA", c.PublicKeyAlgorithm))
	case key.N.BitLen() < KeySizes[0]:
		in.KeyBits = KeySizes[0]
		in.Notes = append(in.Notes, fmt.Sprintf("the live certificate has a key of %d bits: raised to %d", key.N.BitLen(), in.KeyBits))
	case !slices.Contains(KeySizes, key.N.BitLen()):
		problems = append(problems, fmt.Errorf("the live certificate has an RSA key of %d bits, and a request here has %s", key.N.BitLen(), keySizes()))
	default:
		in.KeyBits = key.N.BitLen()
	}
	var same bool
	if in.Hash, same = signatureHash(c.SignatureAlgorithm); !same {
		in.Notes = append(in.Notes, fmt.Sprintf("the live certificate is signed with %s: the request with %s and RSA", c.SignatureAlgorithm, in.Hash))
	}
	return in, errors.Join(problems...)
}

// signatureHash is the hash for a request like a certificate signed so. A request is signed by its own RSA key with
// PKCS #1 v1.5, which every CA reads; how the CA signs is the CA's to say.
func signatureHash(a x509.SignatureAlgorithm) (hash string, same bool) {
	switch a {
	case x509.SHA256WithRSA, x509.ECDSAWithSHA256:
		return "SHA256", true
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384:
		return "SHA384", true
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512:
		return "SHA512", true
	case x509.SHA384WithRSAPSS:
		return "SHA384", false
	case x509.SHA512WithRSAPSS:
		return "SHA512", false
	}
	return "SHA256", false
}

func keySizes() string {
	return fmt.Sprintf("%d, %d or %d bits", KeySizes[0], KeySizes[1], KeySizes[2])
}
