package main_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the floor is made of it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// TestPerformance measures the tool as a process against shell loops over openssl, and writes what it found to the file
// that CERTSTAMP_PERFORMANCE names. It is no test of speed: it fails only if something does not work. With -short the large
// fleets are a tenth.
func TestPerformance(t *testing.T) {
	out := os.Getenv("CERTSTAMP_PERFORMANCE")
	if out == "" {
		t.Skip("set CERTSTAMP_PERFORMANCE to the file to write, or run make bench")
	}
	few, many, rounds := 100, 1000, 15
	if testing.Short() {
		few, many, rounds = 10, 100, 5
	}
	f := figures{
		CPU: processor(), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), OpenSSL: line(t, "openssl", "version"),
		Rounds: rounds, SevenCalls: sevenCalls, ThreeCalls: threeCalls, Flags: strings.Join(validateFlags, " "),
	}
	exe := release(t)
	p := newPKI(t)
	set := p.fleet(t, 1)

	runs := map[string][]cost{}
	measure := func(name string, env []string, dir string, args ...string) {
		t.Helper()
		c, err := spend(dir, append(os.Environ(), append(env, "PFX_PASSWORD="+benchPassword, "ROOT="+p.rootFile, "WORK="+p.work)...), args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runs[name] = append(runs[name], c)
	}
	validate := append([]string{exe, "validate"}, validateFlags...)
	// Taking turns gives every contender the same share of what else the machine does.
	for range f.Rounds {
		measure("start", nil, set, exe, "version")
		measure("one", []string{"GOMAXPROCS=1"}, set, validate...)
		measure("all", nil, set, validate...)
		measure("seven", nil, set, "sh", "-c", sevenCalls)
		measure("three", nil, set, "sh", "-c", threeCalls)
		runs["kdf"] = append(runs["kdf"], floor(perSet))
	}
	small, large := p.fleet(t, few), p.fleet(t, many)
	for range 3 {
		measure("few one", []string{"GOMAXPROCS=1"}, small, validate...)
		measure("few two", []string{"GOMAXPROCS=2"}, small, validate...)
		measure("few", nil, small, validate...)
	}
	measure("many", nil, large, validate...)

	f.Start, f.One, f.All = median(runs["start"]), median(runs["one"]), median(runs["all"])
	f.Seven, f.Three, f.KDF = median(runs["seven"]), median(runs["three"]), median(runs["kdf"])
	f.FewFiles, f.ManyFiles = few*perSet, many*perSet
	f.Few, f.FewOne, f.FewTwo, f.Many = median(runs["few"]), median(runs["few one"]), median(runs["few two"]), median(runs["many"])
	f.PerFile = cost{cpu: (f.FewOne.cpu - f.One.cpu) / time.Duration(f.FewFiles-perSet)}
	f.KDFPerFile = cost{cpu: f.KDF.cpu / perSet}

	var b bytes.Buffer
	if err := page.Execute(&b, f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", b.String())
}

const (
	benchPassword = "Correct7Horse7Battery7"
	perSet        = 13
	iterations    = 2000
)

var validateFlags = []string{"--offline"}

// The loops do with openssl what an operator's script does for each file. Seven calls: parse and check the MAC; leaf; chain;
// key; names, usages, dates and public key of the leaf; public key of the key, compared; path to the root. Three calls:
// everything out at once; names, usages and dates; path to the root.
const (
	sevenCalls = `set -eu
for f in stamps/*/certificates/ADFS/*/*.pfx; do
  openssl pkcs12 -legacy -in "$f" -passin env:PFX_PASSWORD -info -noout 2>"$WORK/info"
  openssl pkcs12 -legacy -in "$f" -passin env:PFX_PASSWORD -clcerts -nokeys -out "$WORK/leaf.pem"
  openssl pkcs12 -legacy -in "$f" -passin env:PFX_PASSWORD -cacerts -nokeys -out "$WORK/chain.pem"
  openssl pkcs12 -legacy -in "$f" -passin env:PFX_PASSWORD -nocerts -nodes -out "$WORK/key.pem"
  openssl x509 -in "$WORK/leaf.pem" -noout -text -pubkey -checkend 2592000 >"$WORK/text"
  openssl pkey -in "$WORK/key.pem" -pubout -out "$WORK/public.pem"
  openssl verify -CAfile "$ROOT" -untrusted "$WORK/chain.pem" "$WORK/leaf.pem" >"$WORK/verified"
  sed -n '/BEGIN PUBLIC KEY/,/END PUBLIC KEY/p' "$WORK/text" | cmp -s - "$WORK/public.pem"
done`
	threeCalls = `set -eu
for f in stamps/*/certificates/ADFS/*/*.pfx; do
  openssl pkcs12 -legacy -in "$f" -passin env:PFX_PASSWORD -nodes -out "$WORK/all.pem"
  openssl x509 -in "$WORK/all.pem" -noout -text -checkend 2592000 >"$WORK/text"
  openssl verify -CAfile "$ROOT" -untrusted "$WORK/all.pem" "$WORK/all.pem" >"$WORK/verified"
done`
)

// release builds the tool as make build does.
func release(t testing.TB) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "certstamp")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// benchPKI is a root with a 4096-bit key, two CAs below it, and one leaf for each endpoint.
type benchPKI struct {
	endpoints      []policies.Endpoint
	keys           []crypto.Signer
	leaves         []*x509.Certificate
	chain          []*x509.Certificate
	rootFile, work string
}

const (
	benchRegion = "east"
	benchFQDN   = "azurestack.contoso.com"
)

func newPKI(t *testing.T) *benchPKI {
	t.Helper()
	policy, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	version, err := policies.ParseVersion("1.1811.0.101")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &benchPKI{endpoints: policy.Endpoints(version, policies.ADFS, nil), rootFile: filepath.Join(dir, "root.pem"), work: dir}
	if len(p.endpoints) != perSet {
		t.Fatalf("a set has %d files, wanted %d", len(p.endpoints), perSet)
	}
	var parent *x509.Certificate
	var signer crypto.Signer
	for i, name := range []string{"Root", "Policy", "Issuing"} {
		key := newKey(t, map[bool]int{true: 4096, false: 2048}[i == 0])
		c := certificate(t, &x509.Certificate{
			Subject: pkix.Name{Organization: []string{"Contoso"}, CommonName: "Contoso " + name}, IsCA: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotAfter: time.Now().AddDate(5, 0, 0),
		}, parent, key, signer)
		p.chain = append([]*x509.Certificate{c}, p.chain...)
		parent, signer = c, key
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.chain[len(p.chain)-1].Raw})
	if err := os.WriteFile(p.rootFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.endpoints {
		key, name := newKey(t, 2048), e.Name(benchRegion+"."+benchFQDN)
		p.keys = append(p.keys, key)
		p.leaves = append(p.leaves, certificate(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().AddDate(0, 10, 0),
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, parent, key, signer))
	}
	return p
}

func newKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate issues a template; without a parent it signs itself.
func certificate(t *testing.T, template, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.BasicConstraintsValid = serial, time.Now().Add(-time.Hour), true
	template.CRLDistributionPoints = []string{"http://pki.contoso.com/crl"}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fleet writes a repository of n stamps. They hold the same certificates, but every file has salts of its own, so that no
// two of them cost less than two.
func (p *benchPKI) fleet(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	var wg sync.WaitGroup
	errs := make(chan error, n)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs <- p.stamp(filepath.Join(dir, "stamps", fmt.Sprintf("stamp-%04d", i)))
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (p *benchPKI) stamp(dir string) error {
	for i, e := range p.endpoints {
		b, err := pfx.Pack{
			Key: p.keys[i], Leaf: p.leaves[i], Chain: p.chain, Password: benchPassword, Encryption: pfx.TripleDESSHA1, Iterations: iterations, LocalMachine: true,
		}.Encode()
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "certificates", "ADFS", e.Folder, e.Stem()+".pfx")
		twin := strings.TrimSuffix(file, ".pfx") + ".crt"
		var public bytes.Buffer
		for _, c := range append([]*x509.Certificate{p.leaves[i]}, p.chain...) {
			if err := pem.Encode(&public, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
				return err
			}
		}
		installed := filepath.Join(dir, "installed.crt") // the last one written stays: all have the same CA
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, b, 0o600), os.WriteFile(twin, public.Bytes(), 0o600), os.WriteFile(installed, public.Bytes(), 0o600)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "stamp.yaml"), fmt.Appendf(nil, `name: %s
region: %s
fqdn: %s
identity: ADFS
version: 1.1811.0.101
installed-ca: {certificate: installed.crt}
certificates: certificates
pfx-password: env:PFX_PASSWORD
`, filepath.Base(dir), benchRegion, benchFQDN), 0o600)
}

// cost is what a process took: by the clock, of all processors with those of its children, and at most of memory.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // KiB
}

func spend(dir string, env []string, args ...string) (cost, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	if err != nil {
		said := out.Bytes()
		return c, fmt.Errorf("%w\n%s", err, said[max(0, len(said)-4000):])
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = r.Maxrss
	}
	return c, nil
}

// floor is the key derivation of n files alone: three derivations for key and IV of the key bag, three for those of the
// certificates, one for the MAC (RFC 7292 appendix B).
func floor(files int) cost {
	start := time.Now()
	sum := sha1.Sum(nil) //nolint:gosec // see the import
	for range files * 7 * iterations {
		sum = sha1.Sum(sum[:]) //nolint:gosec // see the import
	}
	took := time.Since(start)
	runtime.KeepAlive(sum)
	return cost{wall: took, cpu: took}
}

// median takes each measure by itself.
func median(list []cost) cost {
	middle := func(f func(cost) int64) int64 {
		values := make([]int64, len(list))
		for i, c := range list {
			values[i] = f(c)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return cost{
		wall: time.Duration(middle(func(c cost) int64 { return int64(c.wall) })),
		cpu:  time.Duration(middle(func(c cost) int64 { return int64(c.cpu) })),
		rss:  middle(func(c cost) int64 { return c.rss }),
	}
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for l := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(l, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown"
}

func line(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return cmp.Or(first, "unknown")
}

// figures is what the page shows.
type figures struct {
	CPU, System, Go, OpenSSL, SevenCalls, ThreeCalls, Flags string
	Cores, Rounds, FewFiles, ManyFiles                      int
	Start, One, All, Seven, Three, KDF, PerFile, KDFPerFile cost
	Few, FewOne, FewTwo, Many                               cost
}

// Wall, CPU and RSS render a cost for the page.
func (c cost) Wall() string { return shown(c.wall) }

// CPU is the processor time.
func (c cost) CPU() string { return shown(c.cpu) }

// RSS is the peak of resident memory.
func (c cost) RSS() string { return fmt.Sprintf("%d MiB", (c.rss+512)/1024) }

func shown(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func times(a, b time.Duration) string { return fmt.Sprintf("%.1f×", float64(a)/float64(max(b, 1))) }

// WallTimes and CPUTimes say how many times as much another cost is.
func (c cost) WallTimes(other cost) string { return times(other.wall, c.wall) }

// CPUTimes is WallTimes of processor time.
func (c cost) CPUTimes(other cost) string { return times(other.cpu, c.cpu) }

var page = template.Must(template.New("performance").Parse(`# What validate costs

Written by ` + "`make bench`" + `; the figures are of one machine in one run: {{.CPU}}, {{.Cores}} cores, {{.System}}, {{.Go}}, {{.OpenSSL}}.

What a stage over SMB costs: [performance-smb.md](performance-smb.md); what the privileged endpoint costs, with a table of round trips: [performance-psrp.md](performance-psrp.md); what a start costs: [performance-start.md](performance-start.md).

## One set, as a whole process

13 files of an ADFS stamp, TripleDES-SHA1, 2000 iterations, RSA-2048 leaves under two CAs and a 4096-bit root. Medians of {{.Rounds}} rounds in which
the contenders take turns. CPU is user and system time with all child processes.

| what | time | CPU | peak memory | time against ours | CPU against ours |
|---|---|---|---|---|---|
| ` + "`certstamp validate {{.Flags}}`" + ` | {{.All.Wall}} | {{.All.CPU}} | {{.All.RSS}} | | |
| the same with GOMAXPROCS=1 | {{.One.Wall}} | {{.One.CPU}} | {{.One.RSS}} | {{.All.WallTimes .One}} | {{.All.CPUTimes .One}} |
| shell, 7 openssl calls a file | {{.Seven.Wall}} | {{.Seven.CPU}} | {{.Seven.RSS}} | {{.All.WallTimes .Seven}} | {{.All.CPUTimes .Seven}} |
| shell, 3 openssl calls a file | {{.Three.Wall}} | {{.Three.CPU}} | {{.Three.RSS}} | {{.All.WallTimes .Three}} | {{.All.CPUTimes .Three}} |
| ` + "`certstamp version`" + `: the process alone | {{.Start.Wall}} | {{.Start.CPU}} | {{.Start.RSS}} | | |
| the key derivation alone, 13 × 7 × 2000 SHA-1 | {{.KDF.Wall}} | {{.KDF.CPU}} | | | |

## Many files

The stamps hold the same certificates; every file has salts of its own.

| what | time | CPU | peak memory |
|---|---|---|---|
| {{.FewFiles}} files, GOMAXPROCS=1 | {{.FewOne.Wall}} | {{.FewOne.CPU}} | {{.FewOne.RSS}} |
| {{.FewFiles}} files, GOMAXPROCS=2 | {{.FewTwo.Wall}} | {{.FewTwo.CPU}} | {{.FewTwo.RSS}} |
| {{.FewFiles}} files | {{.Few.Wall}} | {{.Few.CPU}} | {{.Few.RSS}} |
| {{.ManyFiles}} files | {{.Many.Wall}} | {{.Many.CPU}} | {{.Many.RSS}} |

- Two workers are {{.FewTwo.WallTimes .FewOne}} as fast as one.
- One more file costs {{.PerFile.CPU}} of CPU, {{.KDFPerFile.CPUTimes .PerFile}} its key derivation ({{.KDFPerFile.CPU}}). Salts are random, so nothing can be kept from one file to the next.

## The loops

Seven calls:

` + "```sh\n{{.SevenCalls}}\n```" + `

Three calls:

` + "```sh\n{{.ThreeCalls}}\n```" + `
`))
