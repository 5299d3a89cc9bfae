// Package pepsim is a simulated stamp: the server role of PowerShell remoting on loopback, with the privileged endpoint's
// cmdlets, a rotation that really reads the share it was given, and TLS endpoints whose certificates really change.
//
// It is for rehearsals: an operator can run a whole rotation, a failing one, or one over a bad network, before the hour
// that counts. It is no proof of the protocol; strangers are. Its wire is faithful, its identity is marked: the CloudID
// and every subject it makes begin with SIMULATED, and it listens on loopback only.
//
// A Config describes the stamp; its zero value is a healthy one. Start runs it on free ports, for tests. New checks it and
// Serve runs it on what Addresses.Listen opened, or on listeners of the caller's. ReadScenario reads the same from a file.
package pepsim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Mark begins the CloudID and every subject of a simulated stamp.
const Mark = "SIMULATED"

// Login makes a user of a name such as DOMAIN\user and a password.
func Login(name, password string) User { return User{Name: name, Password: secret.New(password)} }

// User may log in. Make one with Login.
type User struct {
	Name     string // DOMAIN\user
	Password secret.Value
	NoAccess bool // may log in, but not open the endpoint
}

// Endpoint is one TLS endpoint of the stamp.
type Endpoint struct {
	Folder      string // of its certificate below AAD or ADFS
	Name        string // DNS name, with * for a wildcard; what a new certificate must cover
	Certificate tls.Certificate
}

// Failure orders a step of the rotation to fail.
type Failure struct {
	Step    int    `yaml:"step"    json:"step"` // counted from 1; 0: none
	Message string `yaml:"message" json:"message,omitempty"`
	Again   bool   `yaml:"again"   json:"again,omitempty"` // on a re-run too
}

// Slowness makes one step of every rotation take longer than usual.
type Slowness struct {
	Step    int `yaml:"step"    json:"step"` // counted from 1; 0: none
	Minutes int `yaml:"minutes" json:"minutes"`
}

// PastAction is a rotation that ended before the stamp was started.
type PastAction struct {
	Word     string // Completed or Failed; empty: there was none
	Internal bool
	Started  time.Time
	Ended    time.Time
}

// DefaultUser and DefaultPassword log in to a stamp whose Config names no user. The password is made up and public, which
// is all it needs to be on loopback.
const (
	DefaultUser     = `SIMULATED\CloudAdmin`
	DefaultPassword = "SIMULATED-Passw0rd"
)

// Config describes a stamp. The zero value is a healthy one in an Entra ID cloud, with one user and no external endpoints:
// everything works on it but an external rotation, which needs Endpoints and OpenShare.
type Config struct {
	Region, FQDN  string // FQDN without the region; local and azurestack.external when empty
	Identity      string // AAD (the default) or ADFS
	Version       string // build; 1.2301.2.58 when empty
	CloudID       string // begins with Mark; Mark-REGION when empty
	Domain        string // NetBIOS name of the stamp's own domain; that of the first user when empty
	Machine       string
	Configuration string     // PrivilegedEndpoint when empty
	ERCS          []string   // addresses that the stamp information shows
	Users         []User     // DefaultUser alone when nil
	Endpoints     []Endpoint // what is served at first; a certificate that is missing is made, marked and signed by itself
	OpenShare     func(path, user, password string) (Share, error)

	Health  map[string]string // results of health tests: PASS (the default), WARN, FAIL
	Update  string            // Running, Completed or Failed
	Fail    Failure
	FailBMC string // what Set-BmcCredential fails with
	Slow    Slowness
	Style   string // of the text that means success: 2018, 2020 or 2022; the release decides when empty
	Chatter int    // further lines of output that each step of a rotation says
	Streams string // a cmdlet that first says a record on every stream but output

	LastAction PastAction
	// Information replaces properties of Get-AzureStackStampInformation; an empty one is left out. The CloudID stays marked.
	Information map[string]string

	Faults     []Fault
	FaultDelay time.Duration
	Seed       uint64

	Speed       int // how much faster than real time the stamp works; 1 when zero
	MaxShells   int
	MaxEnvelope int           // bytes of a request or an answer; 512000 when zero
	Buffer      int           // bytes of output that block a cmdlet when nobody reads; 2 MiB when zero
	Idle        time.Duration // after which an unused shell ends, whatever its client asked for; as asked when zero
	TLS         *tls.Config   // serve WinRM over TLS
	Clock       func() time.Time
	Rand        io.Reader
	History     io.Writer // JSON lines of everything that was asked for; never a secret
	Logger      *slog.Logger
}

// Server is a simulated stamp.
type Server struct {
	cfg        Config
	release    int
	users      []ntlmUser
	cmdlets    []cmdlet
	faults     *faults
	history    *history
	binding    []byte
	deployment string
	started    time.Time

	life    context.Context // from Serve to its end
	running sync.WaitGroup

	mu     sync.Mutex
	shells map[string]*shell
	gone   map[string]bool
	served []Endpoint
	bmc    string
	ill    map[string]string // health tests that do not pass
	fail   Failure

	token string // of the control endpoint

	transcripts transcripts
	engine      engine
}

// New fills a config and checks it.
func New(cfg Config) (*Server, error) {
	cfg.describe()
	var errs []error
	want := func(key string, ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, &keyError{key: key, err: fmt.Errorf(format, args...)})
		}
	}
	want("identity", cfg.Identity == "AAD" || cfg.Identity == "ADFS", "identity %q, wanted AAD or ADFS", cfg.Identity)
	want("cloud-id", strings.HasPrefix(cfg.CloudID, Mark), "cloud-id %q must begin with %s", cfg.CloudID, Mark)
	want("users", len(cfg.Users) > 0, "a user is needed: leave Users nil for the default one")
	release, err := releaseOf(cfg.Version)
	want("version", err == nil, "%w", err)
	for i, f := range cfg.Faults {
		if err := f.check(); err != nil {
			errs = append(errs, &keyError{key: "faults", item: i, err: err})
		}
	}
	for _, err := range checkHealth(cfg.Health) {
		errs = append(errs, &keyError{key: "health", err: err})
	}
	errs = append(errs, cfg.checkOrders()...)
	for i, u := range cfg.Users {
		if u.Name == "" || u.Password.IsZero() {
			errs = append(errs, &keyError{key: "users", item: i, err: fmt.Errorf("user %q needs a name and a password", u.Name)})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	fill(&cfg)
	if err := certify(&cfg); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, release: release, cmdlets: append(table(), others()...), faults: newFaults(cfg.Faults, cfg.Seed), history: &history{w: cfg.History, now: cfg.Clock},
		shells: map[string]*shell{}, gone: map[string]bool{}, served: cfg.Endpoints, started: cfg.Clock(),
		ill: maps.Clone(cfg.Health), fail: cfg.Fail, token: rand.Text(),
	}
	s.engine.wake = make(chan struct{})
	s.remember(cfg.LastAction)
	s.deployment = strings.ToLower(s.guid())
	for _, u := range cfg.Users {
		s.users = append(s.users, ntlmUser{name: u.Name, password: u.Password.Reveal()})
	}
	if cfg.TLS != nil && len(cfg.TLS.Certificates) > 0 {
		leaf, err := x509.ParseCertificate(cfg.TLS.Certificates[0].Certificate[0])
		if err != nil {
			return nil, err
		}
		s.binding = channelBinding(leaf)
	}
	return s, nil
}

// describe fills in who the stamp is.
func (cfg *Config) describe() {
	set := func(p *string, d string) { *p = orDefault(*p, d) }
	set(&cfg.Region, "local")
	set(&cfg.FQDN, "azurestack.external")
	set(&cfg.Identity, "AAD")
	set(&cfg.Version, "1.2301.2.58")
	set(&cfg.CloudID, Mark+"-"+cfg.Region)
	if cfg.Users == nil {
		cfg.Users = []User{Login(DefaultUser, DefaultPassword)}
	}
}

func fill(cfg *Config) {
	set := func(p *string, d string) { *p = orDefault(*p, d) }
	set(&cfg.Configuration, "PrivilegedEndpoint")
	set(&cfg.Machine, Mark+"-ERCS01")
	set(&cfg.Update, "Completed")
	if cfg.Domain == "" {
		if cfg.Domain, _, _ = strings.Cut(cfg.Users[0].Name, `\`); cfg.Domain == cfg.Users[0].Name {
			cfg.Domain = Mark
		}
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.MaxShells == 0 {
		cfg.MaxShells = 25
	}
	if cfg.MaxEnvelope == 0 {
		cfg.MaxEnvelope = maxRequest
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = bufferedMost
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OpenShare == nil {
		cfg.OpenShare = func(path, _, _ string) (Share, error) {
			return nil, fmt.Errorf("the network path %q was not found", path)
		}
	}
}

// releaseOf takes the train out of a build: 2301 of 1.2301.2.58.
func releaseOf(version string) (int, error) {
	parts := strings.Split(version, ".")
	train := parts[0]
	if len(parts) > 1 {
		train = parts[1]
	}
	n, err := strconv.Atoi(train)
	if err != nil || n < 1700 || n > 9999 {
		return 0, fmt.Errorf("version %q, wanted a build such as 1.2301.2.58", version)
	}
	return n, nil
}

// Listeners are where a stamp can be reached. All are on loopback.
type Listeners struct {
	WinRM   []net.Listener // the ERCS virtual machines
	TLS     net.Listener   // the external endpoints; may be nil
	Control net.Listener   // orders and questions of a test, see Server.Token; may be nil
}

func (l Listeners) all() []net.Listener {
	var out []net.Listener
	for _, one := range append(slices.Clone(l.WinRM), l.TLS, l.Control) {
		if one != nil {
			out = append(out, one)
		}
	}
	return out
}

// Serve runs the stamp until ctx ends, then closes the listeners and waits until everything has stopped. A rotation that
// is under way ends with the process, as with a stamp that loses its power.
func (s *Server) Serve(ctx context.Context, l Listeners) error {
	for _, one := range l.all() {
		if !isLoopback(one.Addr()) {
			return fmt.Errorf("%v is not on loopback: a simulated stamp listens nowhere else", one.Addr())
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.life = ctx
	errs := make(chan error, len(l.WinRM)+2)
	var serving sync.WaitGroup
	for _, one := range l.WinRM {
		serving.Go(func() { errs <- s.serveWinRM(ctx, one); stop() })
	}
	if l.TLS != nil {
		serving.Go(func() { errs <- s.serveTLS(ctx, l.TLS); stop() })
	}
	if l.Control != nil {
		serving.Go(func() { errs <- s.serveControl(ctx, l.Control); stop() })
	}
	serving.Wait()
	s.mu.Lock()
	for _, sh := range s.shells {
		sh.timer.Stop()
		sh.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	close(errs)
	var first error
	for err := range errs {
		first = errors.Join(first, err)
	}
	return first
}

// isLoopback also lets in-memory listeners pass: they reach nobody.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

func (s *Server) now() time.Time { return s.cfg.Clock() }

func (s *Server) guid() string {
	g, err := clixml.NewGUID(s.cfg.Rand)
	if err != nil {
		panic(err) // the system has no randomness
	}
	return g.String()
}

// think takes the time that the stamp would need, at the ordered speed.
func (s *Server) think(ctx context.Context, d time.Duration) error {
	if !sleep(ctx, d/time.Duration(s.cfg.Speed)) {
		return ctx.Err()
	}
	return nil
}

// sleep reports whether the time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) log(format string, args ...any) { s.cfg.Logger.Info(fmt.Sprintf(format, args...)) }

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// mayEnter is asked about users that have logged in; one that a cmdlet has made may.
func (s *Server) mayEnter(user string) bool {
	return !slices.ContainsFunc(s.cfg.Users, func(u User) bool { return u.NoAccess && strings.EqualFold(u.Name, user) })
}

func checkHealth(health map[string]string) []error {
	var errs []error
	results := []string{"PASS", "WARN", "FAIL"}
	for _, test := range slices.Sorted(maps.Keys(health)) {
		if !containsFold(healthTests, test) {
			errs = append(errs, fmt.Errorf("health: %q is not a test, wanted one of %v", test, healthTests))
		}
		if result := health[test]; !containsFold(results, result) {
			errs = append(errs, fmt.Errorf("health: %q is not a result of %s, wanted one of %v", result, test, results))
		}
	}
	return errs
}

func (s *Server) health(test string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, result := range s.ill {
		if strings.EqualFold(name, test) {
			return strings.ToUpper(result)
		}
	}
	return "PASS"
}

func (s *Server) setBMC(user string, nodes bool) {
	s.mu.Lock()
	s.bmc = user
	s.mu.Unlock()
	s.history.write(event{Event: "bmc-updated", Nodes: nodes})
}
