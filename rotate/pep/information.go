package pep

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// StampInformation is what Get-AzureStackStampInformation says. Fields that a release lacks are empty.
type StampInformation struct {
	RegionName                  string
	StampVersion                string
	ExternalDomainFQDN          string // includes the region
	DomainFQDN                  string
	DomainNetBIOSName           string
	EmergencyConsoleIPAddresses []string
	Timezone                    string
	CloudID                     string
	DeploymentID                string
	AADTenantID                 string
	TenantResourceManager       string
	AdminResourceManager        string
	RootCACertificates          []RootCA // the internal root, whose expiry only an internal rotation moves
	Names                       []string // of all its properties, whatever they are
	Raw                         string   // everything, as text
}

// RootCA is one of the stamp's own roots.
type RootCA struct {
	Subject    string
	Thumbprint string
	NotAfter   time.Time
}

// ErrNoAnswer means that a cmdlet ended well and said nothing that could be read, or that a part of what it said was lost.
var ErrNoAnswer = errors.New("the endpoint answered with nothing that can be read")

// StampInformation asks who the stamp is. The stamp runs an action plan for it, so it can take minutes.
func (s *Session) StampInformation(ctx context.Context) (StampInformation, error) {
	reply, err := s.ask(ctx, plan.Call{Cmdlet: "Get-AzureStackStampInformation"}, nil, nil)
	if err != nil {
		return StampInformation{}, err
	}
	for _, v := range reply.outputs {
		if info := informationOf(v); info.RegionName != "" || info.StampVersion != "" || info.ExternalDomainFQDN != "" {
			return info, nil
		}
	}
	return StampInformation{}, ErrNoAnswer
}

func informationOf(v any) StampInformation {
	info := StampInformation{
		RegionName:                  text(v, "RegionName"),
		StampVersion:                text(v, "StampVersion"),
		ExternalDomainFQDN:          strings.TrimSuffix(text(v, "ExternalDomainFQDN"), "."),
		DomainFQDN:                  text(v, "DomainFQDN"),
		DomainNetBIOSName:           text(v, "DomainNetBIOSName"),
		EmergencyConsoleIPAddresses: texts(v, "EmergencyConsoleIPAddresses"),
		Timezone:                    text(v, "Timezone"),
		CloudID:                     text(v, "CloudID"),
		DeploymentID:                text(v, "DeploymentID"),
		AADTenantID:                 text(v, "AADTenantID"),
		Names:                       names(v),
		Raw:                         cut(clixml.Text(v), maxText),
	}
	if m, ok := member(v, "TenantExternalEndpoints"); ok {
		info.TenantResourceManager = text(m, "TenantResourceManager")
	}
	if m, ok := member(v, "AdminExternalEndpoints"); ok {
		info.AdminResourceManager = text(m, "AdminResourceManager")
	}
	if m, ok := member(v, "RootCACertificates"); ok {
		roots := items(m)
		for _, c := range roots[:min(len(roots), 64)] {
			root := RootCA{Subject: text(c, "Subject"), Thumbprint: text(c, "Thumbprint")}
			if t, ok := member(c, "NotAfter"); ok {
				root.NotAfter, _ = instant(t)
			}
			info.RootCACertificates = append(info.RootCACertificates, root)
		}
	}
	return info
}
