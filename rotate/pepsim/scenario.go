package pepsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// Scenario is a file that describes a stamp to play. Passwords are references, as everywhere.
type Scenario struct {
	Region            string            `yaml:"region"`
	FQDN              string            `yaml:"fqdn"`
	Identity          string            `yaml:"identity"`
	Version           string            `yaml:"version"`
	CloudID           string            `yaml:"cloud-id"`
	Domain            string            `yaml:"domain"`
	Configuration     string            `yaml:"configuration"`
	Speed             int               `yaml:"speed"`
	Listen            []string          `yaml:"listen"`    // one address per ERCS machine
	TLS               bool              `yaml:"tls"`       // serve WinRM over TLS
	Endpoints         string            `yaml:"endpoints"` // address of the external endpoints
	Control           string            `yaml:"control"`   // address of the control endpoint
	Installed         string            `yaml:"installed"` // folder of <Folder>/<file>.pfx that is served at first
	InstalledPassword string            `yaml:"installed-password"`
	Users             []ScenarioUser    `yaml:"users"`
	Shares            []ScenarioShare   `yaml:"shares"`
	History           string            `yaml:"history"`
	Health            map[string]string `yaml:"health"`
	Update            string            `yaml:"update"`
	Fail              Failure           `yaml:"fail"`
	FailBMC           string            `yaml:"fail-bmc"`
	Slow              Slowness          `yaml:"slow"`
	OutputStyle       string            `yaml:"output-style"`
	Chatter           int               `yaml:"chatter"`
	Streams           string            `yaml:"streams"`
	LastAction        ScenarioAction    `yaml:"last-action"`
	StampInformation  map[string]string `yaml:"stamp-information"`
	Faults            []Fault           `yaml:"faults"`
	FaultDelayMillis  int               `yaml:"fault-delay-ms"`
	Seed              uint64            `yaml:"seed"`
	MaxShells         int               `yaml:"max-shells"`
	MaxEnvelope       int               `yaml:"max-envelope"`
	Buffer            int               `yaml:"buffer"`
	IdleMillis        int               `yaml:"idle-ms"`
}

// ScenarioAction is a rotation of the past.
type ScenarioAction struct {
	Word     string `yaml:"word"`
	Internal bool   `yaml:"internal"`
	Started  string `yaml:"started"`
	Ended    string `yaml:"ended"`
}

// Orders puts what a scenario orders into a config: everything that needs no file, no address and no password.
// A file names its stamp and its users, so that a forgotten line is no stamp with another name or a public password.
func (s *Scenario) Orders(cfg *Config) error {
	given := map[string]bool{
		"region": s.Region != "", "fqdn": s.FQDN != "", "identity": s.Identity != "", "version": s.Version != "", "cloud-id": s.CloudID != "", "users: a user": len(s.Users) > 0,
	}
	var missing []error
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !given[key] {
			missing = append(missing, fmt.Errorf("%s is needed", key))
		}
	}
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	cfg.Region, cfg.FQDN, cfg.Identity, cfg.Version, cfg.CloudID, cfg.Domain = s.Region, s.FQDN, s.Identity, s.Version, s.CloudID, s.Domain
	cfg.Configuration, cfg.Health, cfg.Update, cfg.Fail, cfg.FailBMC = s.Configuration, s.Health, s.Update, s.Fail, s.FailBMC
	cfg.Slow, cfg.Style, cfg.Chatter, cfg.Streams, cfg.Information = s.Slow, s.OutputStyle, s.Chatter, s.Streams, s.StampInformation
	cfg.Faults, cfg.FaultDelay, cfg.Seed, cfg.Speed = s.Faults, time.Duration(s.FaultDelayMillis)*time.Millisecond, s.Seed, s.Speed
	cfg.MaxShells, cfg.MaxEnvelope, cfg.Buffer, cfg.Idle = s.MaxShells, s.MaxEnvelope, s.Buffer, time.Duration(s.IdleMillis)*time.Millisecond
	started, err := parseTime(s.LastAction.Started)
	if err != nil {
		return &keyError{key: "last-action", err: fmt.Errorf("last-action: started %q: %w", s.LastAction.Started, err)}
	}
	ended, err := parseTime(s.LastAction.Ended)
	if err != nil {
		return &keyError{key: "last-action", err: fmt.Errorf("last-action: ended %q: %w", s.LastAction.Ended, err)}
	}
	if ended.IsZero() {
		ended = started.Add(time.Hour)
	}
	if s.LastAction.Word == "" && s.LastAction != (ScenarioAction{}) {
		return &keyError{key: "last-action", err: errors.New("last-action: it needs word")}
	}
	cfg.LastAction = PastAction{Word: s.LastAction.Word, Internal: s.LastAction.Internal, Started: started, Ended: ended}
	return nil
}

// ScenarioUser is a login.
type ScenarioUser struct {
	Name     string `yaml:"name"`
	Password string `yaml:"password"`
	NoAccess bool   `yaml:"no-access"`
}

// ScenarioShare is a folder that plays a share, or the address of a real one. The credential of a folder is the one below;
// a real one judges for itself.
type ScenarioShare struct {
	UNC      string `yaml:"unc"`
	Folder   string `yaml:"folder"`
	Address  string `yaml:"address"` // 127.0.0.1:port of an SMB server, instead of folder, user and password
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

const maxScenario = 1 << 20

// ReadScenario reads a scenario strictly.
func ReadScenario(b []byte) (*Scenario, error) {
	if len(b) > maxScenario {
		return nil, fmt.Errorf("a scenario of %d bytes, at most %d", len(b), maxScenario)
	}
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(b))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the scenario is empty")
	case err != nil:
		return nil, readingMistakes(err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	if root := doc.Content[0]; root.Kind != yaml.MappingNode {
		return nil, Mistakes{{Line: root.Line, Column: root.Column, Message: "a scenario must hold keys with values"}}
	}
	if unknown := unknownKeys(doc.Content[0], reflect.TypeFor[Scenario]()); len(unknown) > 0 {
		return nil, unknown.sorted()
	}
	d = yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	s := &Scenario{}
	if err := d.Decode(s); err != nil {
		return nil, readingMistakes(err)
	}
	return s, nil
}
