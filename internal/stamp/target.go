package stamp

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/certstamp/certstamp/internal/secret"
)

// Target is everything a credential of this stamp can reach, as lines of the form key: "value". A pull request could
// point a host, a share or a user at an attacker; the digest of these lines is therefore kept outside the repository
// (CERTSTAMP_TARGET on the protected environment) and compared before the first name is looked up.
type Target struct{ lines []string }

// Target collects the lines. Whatever changes where a secret goes, which secret goes there, or how well the way is
// protected must show here.
func (s *Stamp) Target() Target {
	var t Target
	add := func(key, value string) { t.lines = append(t.lines, key+": "+strconv.Quote(value)) }
	ref := func(key string, r secret.Ref) {
		if !r.IsZero() {
			add(key, r.String())
		}
	}
	add("region", s.Region)
	add("fqdn", s.FQDN)
	add("cloud-id", s.CloudID)
	add("simulated", strconv.FormatBool(s.Simulated))
	add("endpoints.port", strconv.Itoa(s.Port))
	for i, entry := range s.Resolve {
		r, err := ParseResolution(entry)
		if err != nil {
			continue // Load refuses such an entry
		}
		add(indexed("resolve", i), r.String())
	}
	ref("pfx-password", s.PFXPassword)
	ref("age-identity", s.AgeIdentity)
	if s.Backup != "" {
		add("backup", s.Backup)
	}
	if !s.Share.IsZero() {
		add("share.unc", s.Share.UNC)
		add("share.host", net.JoinHostPort(strings.ToLower(UNCHost(s.Share.UNC)), "445"))
		add("share.folder", s.Share.Folder)
		add("share.signing-only", strconv.FormatBool(s.Share.SigningOnly))
		add("share.user", s.Share.User)
		ref("share.password", s.Share.Password)
		add("share.access-user", s.Share.AccessUser)
		ref("share.access-password", s.Share.AccessPassword)
	}
	if !s.PEP.IsZero() {
		for i, h := range s.PEP.Hosts {
			add(indexed("pep.host", i), withPort(h, s.pepPort()))
		}
		scheme := "http, sealed"
		if s.PEP.TLS {
			scheme = "https"
		}
		add("pep.scheme", scheme)
		add("pep.tls", strconv.FormatBool(s.PEP.TLS))
		add("pep.pin", s.PEP.Pin)
		add("pep.ca", s.caSHA256)
		add("pep.user", s.PEP.User)
		add("pep.configuration", s.PEP.Configuration)
		ref("pep.password", s.PEP.Password)
		if s.PEP.Transcripts != "" { // the stamp sends this credential there
			add("pep.transcripts", s.PEP.Transcripts)
			add("pep.transcripts-user", s.PEP.TranscriptsUser)
			ref("pep.transcripts-password", s.PEP.TranscriptsPassword)
		}
	}
	if !s.BMC.IsZero() {
		add("bmc.update", s.BMC.Update)
		add("bmc.new-user", s.BMC.NewUser)
		ref("bmc.new-password", s.BMC.NewPassword)
	}
	sort.Strings(t.lines)
	return t
}

// indexed keeps the order of a list through the sorting of lines.
func indexed(key string, i int) string { return fmt.Sprintf("%s.%03d", key, i) }

// Text is the canonical form: sorted lines, each ended by LF.
func (t Target) Text() string { return strings.Join(t.lines, "\n") + "\n" }

// Digest is the hex SHA-256 of Text.
func (t Target) Digest() string {
	sum := sha256.Sum256([]byte(t.Text()))
	return hex.EncodeToString(sum[:])
}

// TargetError says that the pinned target is not this stamp's, or that none is pinned.
type TargetError struct {
	Stamp  string
	Digest string // of the stamp as it is now
	Pinned string // empty: none
}

func (e *TargetError) Error() string {
	if e.Pinned == "" {
		return fmt.Sprintf("stamp %s: no target is pinned, and no credential is sent to an unpinned one", quoted(e.Stamp))
	}
	return fmt.Sprintf("stamp %s: the target is %s, and %s is pinned", quoted(e.Stamp), e.Digest, quoted(e.Pinned))
}

// Hint says what to do.
func (e *TargetError) Hint() string {
	if e.Pinned == "" {
		return "review certstamp target, then set CERTSTAMP_TARGET on the protected environment to its digest"
	}
	return "review certstamp target: if the change is wanted, set CERTSTAMP_TARGET on the protected environment to its digest"
}

var unsetVariable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\$\([^)]+\)$`) })

// CheckTarget holds the stamp against the pinned digest want, and returns a *TargetError when they differ. Nothing
// pinned (empty, or the text $(NAME) that Azure Pipelines leaves for an undefined variable) is refused in CI. At a
// person's own terminal it is accepted: that person chose the file, and the caller shows the target before it sends
// anything.
func (s *Stamp) CheckTarget(want string, ci bool) error {
	return CheckTarget(s.Name, s.Target().Digest(), want, ci)
}

// Pinned reports whether want, the value of CERTSTAMP_TARGET, pins anything.
func Pinned(want string) bool {
	want = strings.TrimSpace(want)
	return want != "" && !unsetVariable().MatchString(want)
}

// CheckTarget does the same for a digest that is known from elsewhere, such as a plan's.
func CheckTarget(name, digest, want string, ci bool) error {
	if !Pinned(want) {
		if !ci {
			return nil
		}
		want = ""
	}
	want = strings.TrimSpace(want)
	pinned := pinnedFor(name, want)
	if pinned != "" && strings.TrimPrefix(pinned, "sha256:") == digest {
		return nil
	}
	return &TargetError{Stamp: name, Digest: digest, Pinned: pinned}
}

// pinnedFor is what is pinned for one stamp: the only digest there is, or that of its name in a list NAME=DIGEST NAME=DIGEST,
// which is for servers whose variables are the same for every job. A name that is there twice is pinned to neither.
func pinnedFor(name, want string) string {
	if !strings.Contains(want, "=") {
		return want
	}
	pinned, times := "", 0
	for _, entry := range strings.FieldsFunc(want, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if n, digest, _ := strings.Cut(entry, "="); n == name {
			pinned, times = digest, times+1
		}
	}
	if times != 1 {
		return ""
	}
	return pinned
}

// certificatesDigest is the SHA-256 over the certificates of a PEM file, so that comments and line ends don't count.
func certificatesDigest(b []byte) (string, error) {
	h := sha256.New()
	n := 0
	for rest := b; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return "", fmt.Errorf("holds a %s, only certificates are wanted", quoted(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("certificate %d: %s", n+1, quoted(err.Error()))
		}
		_, _ = h.Write(block.Bytes) // a hash never fails
	}
	if n == 0 {
		return "", errors.New("holds no certificate in PEM form")
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
