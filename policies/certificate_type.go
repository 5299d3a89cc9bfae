package policies

import (
	"slices"
	"strings"
)

// CertificateType is a set of certificates that belongs together, in the words of the readiness tools. Each is a folder
// with a tree of its own.
type CertificateType string

// Deployment is the set that Start-SecretRotation takes. The others belong to resource providers and are rotated with
// those: they are requested, packed and judged, and never enter a plan.
const (
	Deployment             CertificateType = "Deployment"
	AppServices            CertificateType = "AppServices"
	DBAdapter              CertificateType = "DBAdapter"
	EventHubs              CertificateType = "EventHubs"
	IoTHub                 CertificateType = "IoTHub"
	AzureContainerRegistry CertificateType = "AzureContainerRegistry"
)

// Types are all types, Deployment first.
func (p *Policy) Types() []CertificateType {
	out := []CertificateType{Deployment}
	for _, e := range p.providers {
		if !slices.Contains(out, e.Type) {
			out = append(out, e.Type)
		}
	}
	return out
}

// TypeEndpoints are the certificates of one type at a release, in catalogue order. For Deployment that is every endpoint
// of either identity system, optional ones included; Endpoints says which of them a stamp has.
func (p *Policy) TypeEndpoints(t CertificateType, v Version) []Endpoint {
	return slices.DeleteFunc(p.TypeCatalogue(t), func(e Endpoint) bool { return !e.Span.Has(v) })
}

// TypeCatalogue is every certificate of one type, of every release.
func (p *Policy) TypeCatalogue(t CertificateType) []Endpoint {
	return slices.DeleteFunc(slices.Concat(p.endpoints, p.providers), func(e Endpoint) bool { return e.Type != t })
}

// Names are all the DNS names that the one certificate must hold, lower case, Name first.
func (e Endpoint) Names(domain string) []string {
	out := []string{e.Name(domain)}
	for _, l := range e.MoreLabels {
		out = append(out, strings.ToLower(l+"."+domain))
	}
	return out
}

// Dir is the slash-separated path of the certificate's folder: below the certificates directory for a Deployment
// certificate, below the resource providers' directory for the others.
func (e Endpoint) Dir() string {
	if e.Type == Deployment || e.Direct {
		return e.Folder
	}
	return string(e.Type) + "/" + e.Folder
}
