package stamp

import (
	"fmt"
	"path"
	"strings"
)

// crossCheck holds fields against each other. It runs even when single fields were wrong, on what could be read.
func (s *Stamp) crossCheck(r *reader) {
	if s.Region != "" && s.FQDN != "" {
		if rest, repeats := strings.CutPrefix(s.FQDN, s.Region+"."); repeats {
			r.wrong("fqdn", rest, "fqdn: %s repeats the region %s; the FQDN is written without it", quoted(s.FQDN), quoted(s.Region))
		} else if s.FQDN == s.Region {
			r.wrong("fqdn", "", "fqdn: %s repeats the region; the FQDN is written without it", quoted(s.FQDN))
		}
	}
	if !s.PEP.TLS {
		for _, key := range []string{"pep.pin", "pep.ca"} {
			if r.given(key) {
				r.wrong(key, "", "%s does nothing without tls: true", key)
			}
		}
	}
	if r.given("share.access-user") != r.given("share.access-password") {
		r.wrong("share", "", "share: access-user and access-password are given together or not at all")
	}
	if r.given("pep.transcripts-user") != r.given("pep.transcripts-password") {
		r.wrong("pep", "", "pep: transcripts-user and transcripts-password are given together or not at all")
	}
	switch {
	case !r.given("pep.transcripts") && r.given("pep.transcripts-user"):
		r.wrong("pep.transcripts-user", "", "pep.transcripts-user does nothing without transcripts")
	case r.given("pep.transcripts") && !r.given("pep.transcripts-user") && !r.given("share"):
		r.wrong("pep.transcripts", "", "pep.transcripts needs transcripts-user and transcripts-password where there is no share whose account could be used")
	case s.Share.UNC != "" && strings.EqualFold(s.PEP.Transcripts, s.Share.UNC):
		r.wrong("pep.transcripts", s.Share.UNC+`\transcripts`, "pep.transcripts is the root of the share with the certificates: name a folder of its own")
	}
	if s.Share.SigningOnly && s.Share.Folder != "" {
		r.wrong("share.signing-only", "", "share.signing-only does nothing with share.folder: whoever mounted the folder chose how it is protected")
	}
	if r.given("bmc.update") && s.BMC.Update == "pep" && s.Version.Release() > 0 && s.Version.Release() < bmcByPEP {
		r.wrong("bmc.update", "external", "bmc.update: pep changes the controllers from %d on, and the stamp is at %s", bmcByPEP, s.Version)
	}
	if r.given("backup") && s.Share.Folder != "" && path.Clean(s.Backup) == path.Clean(s.Share.Folder) {
		r.wrong("backup", "", "backup: is the share itself; it must survive the share")
	}
	seen := map[string]int{}
	for i, h := range s.PEP.Hosts {
		full := withPort(h, s.pepPort())
		if first, twice := seen[full]; twice {
			r.wrong(fmt.Sprintf("pep.hosts[%d]", i), "", "pep.hosts[%d]: %s is the same as pep.hosts[%d]", i, quoted(h), first)
			continue
		}
		seen[full] = i
	}
	s.checkPeers(r)
}

func (s *Stamp) pepPort() int {
	if s.PEP.TLS {
		return 5986
	}
	return 5985
}

// checkPeers keeps a simulated stamp on this machine and a real one off it, so that neither can pose as the other.
func (s *Stamp) checkPeers(r *reader) {
	const mark = "SIMULATED"
	marked := strings.HasPrefix(s.CloudID, mark)
	switch {
	case s.Simulated && !marked:
		at := "cloud-id"
		if !r.given(at) {
			at = "simulated"
		}
		r.wrong(at, "", "cloud-id of a simulated stamp must begin with %s", mark)
	case !s.Simulated && strings.HasPrefix(strings.ToUpper(s.CloudID), mark):
		r.wrong("cloud-id", "", "cloud-id: %s belongs to a simulator; the stamp is not simulated: true", quoted(s.CloudID))
	}
	answered := map[string]bool{} // names that resolve answers, whose addresses are checked below
	for i, entry := range s.Resolve {
		e, err := ParseResolution(entry)
		if err != nil {
			continue // already reported
		}
		answered[e.Name] = true
		s.checkPeer(r, fmt.Sprintf("resolve[%d]", i), e.Address.Addr().String(), false)
		if e.Name != "*" && !s.Simulated {
			s.checkPeer(r, fmt.Sprintf("resolve[%d]", i), e.Name, false)
		}
	}
	for i, h := range s.PEP.Hosts {
		if host, _, err := splitHost(h); err == nil {
			s.checkPeer(r, fmt.Sprintf("pep.hosts[%d]", i), host, answered[strings.ToLower(host)])
		}
	}
	if s.Share.UNC != "" {
		host := UNCHost(s.Share.UNC)
		s.checkPeer(r, "share.unc", host, answered[strings.ToLower(host)])
	}
	if s.PEP.Transcripts != "" {
		host := UNCHost(s.PEP.Transcripts)
		s.checkPeer(r, "pep.transcripts", host, answered[strings.ToLower(host)])
	}
	if !s.Simulated && s.FQDN != "" && isLoopback(s.FQDN) {
		r.wrong("fqdn", "", "fqdn: %s is this machine; only a simulated stamp lives here", quoted(s.FQDN))
	}
}

func (s *Stamp) checkPeer(r *reader, where, host string, answered bool) {
	switch local := isLoopback(host); {
	case s.Simulated && !local && !answered:
		r.wrong(where, "", "%s: %s is not a loopback address; a simulated stamp reaches nothing else", where, quoted(host))
	case !s.Simulated && local:
		r.wrong(where, "", "%s: %s is this machine; only a simulated stamp lives here", where, quoted(host))
	}
}
