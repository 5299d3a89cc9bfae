package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Metrics writes what d says of certificates and their ends as a textfile for Prometheus' node_exporter: text exposition
// format 0.0.4, no time beside a sample, dates in seconds since 1970. The names that begin with x509_ are those of
// x509-certificate-exporter, so that rules and dashboards made for it go on working.
func Metrics(w io.Writer, d *Document) error {
	var all metrics
	for i := range d.Stamps {
		s := &d.Stamps[i]
		// Its series would be gone otherwise, and an alert over nothing never fires.
		all.add("azs_scan_success", "Whether a stamp could be looked at.", truth(s.Outcome != NotLookedAt), "stamp", s.Stamp)
		if s.Outcome == NotLookedAt {
			continue
		}
		all.add("azs_scan_timestamp_seconds", "When the certificates of a stamp were last looked at.", unix(d.AsOf), "stamp", s.Stamp)
		for _, e := range s.Expiries {
			all.expiry(d, s, e)
		}
	}
	_, err := io.WriteString(w, all.text())
	return err
}

type metric struct {
	name, help string
	samples    []string
}

type metrics []*metric

func (m *metrics) expiry(d *Document, s *Stamp, e Expiry) {
	place := []string{"stamp", s.Stamp, "endpoint", e.name()}
	if e.Source == "live" {
		place = append(place, "host", e.Host)
		reached := e.State != ExpiryUnreachable
		m.add("azs_probe_success", "Whether an endpoint gave a certificate.", truth(reached), place...)
		if reached {
			m.add("azs_endpoint_leaf_match", "Whether all front ends of an endpoint serve the same certificate.", truth(e.Leaves == 1), place...)
		}
	} else {
		place = append(place, "filepath", e.Path)
	}
	if e.NotAfter == "" {
		return
	}
	named := append([]string{"subject_CN", e.SubjectCN, "issuer_CN", e.IssuerCN, "serial_number", e.SerialNumber, "source", e.Source}, place...)
	m.add("x509_cert_not_before", "When a certificate begins to be valid.", unix(e.NotBefore), named...)
	m.add("x509_cert_not_after", "When a certificate ends.", unix(e.NotAfter), named...)
	m.add("x509_cert_expired", "Whether a certificate has ended.", truth(unix(e.NotAfter) < unix(d.AsOf)), named...)
	if e.due() {
		m.add("azs_secret_not_after", "When a secret that somebody has to renew ends: of a certificate, its own end or that of one it was served with, whichever is first.",
			unix(e.Ends), append([]string{"kind", "external", "source", e.Source}, place...)...)
	}
}

// add adds a sample. Labels come as names and values.
func (m *metrics) add(name, help string, value int64, labels ...string) {
	at := slices.IndexFunc(*m, func(x *metric) bool { return x.name == name })
	if at < 0 {
		at = len(*m)
		*m = append(*m, &metric{name: name, help: help})
	}
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s="%s"`, labels[i], labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")))
	}
	// The same series twice would make the whole file worthless to its reader.
	series := fmt.Sprintf("%s{%s} ", name, b.String())
	if x := (*m)[at]; !slices.ContainsFunc(x.samples, func(s string) bool { return strings.HasPrefix(s, series) }) {
		x.samples = append(x.samples, series+fmt.Sprint(value))
	}
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m metrics) text() string {
	var b strings.Builder
	for _, x := range m {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", x.name, x.help, x.name)
		for _, s := range x.samples {
			b.WriteString(s + "\n")
		}
	}
	return b.String()
}

func unix(rfc3339 string) int64 {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return 0
	}
	return t.Unix()
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
