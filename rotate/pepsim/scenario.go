package pepsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	Faults            []Fault           `yaml:"faults"`
	FaultDelayMillis  int               `yaml:"fault-delay-ms"`
	Seed              uint64            `yaml:"seed"`
	MaxShells         int               `yaml:"max-shells"`
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
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	s := &Scenario{}
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("scenario: more than one document")
	}
	return s, nil
}
