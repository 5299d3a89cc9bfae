package pep

import (
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
)

// Mismatch is one way in which a stamp is not the planned one.
type Mismatch struct {
	ID, Name, Found, Wanted, Hint string
}

// SimulatedMark begins the CloudID of every simulated stamp, and of no real one.
const SimulatedMark = "SIMULATED"

// Guard compares who the stamp says it is with the plan's stamp: region, external FQDN, version to the precision the plan
// has it in, and the pinned CloudID. It returns every mismatch. Nothing may change on a stamp that has one.
func Guard(info StampInformation, stamp plan.Stamp, simulated bool) []Mismatch {
	var out []Mismatch
	add := func(id, name, found, wanted, hint string) {
		out = append(out, Mismatch{ID: id, Name: name, Found: fmt.Sprintf("%q", cut(found, 256)), Wanted: fmt.Sprintf("%q", wanted), Hint: hint})
	}
	const wrong = "this is another stamp: check the target's pep.hosts and the plan's stamp file"
	if !strings.EqualFold(info.RegionName, stamp.Region) {
		add("stamp-region", "Stamp Region", info.RegionName, stamp.Region, wrong)
	}
	if !strings.EqualFold(info.ExternalDomainFQDN, stamp.Domain()) {
		add("stamp-fqdn", "Stamp FQDN", info.ExternalDomainFQDN, stamp.Domain(), wrong)
	}
	if ok, err := stamp.Runs(info.StampVersion); err != nil || !ok {
		add("stamp-version", "Stamp Version", info.StampVersion, stamp.Version,
			"the plan was decided for another build: correct version in stamp.yaml and plan again")
	}
	if stamp.CloudID != "" && !strings.EqualFold(info.CloudID, stamp.CloudID) {
		add("stamp-cloud-id", "Stamp CloudID", info.CloudID, stamp.CloudID, wrong)
	}
	marked := len(info.CloudID) >= len(SimulatedMark) && strings.EqualFold(info.CloudID[:len(SimulatedMark)], SimulatedMark)
	switch {
	case simulated && !marked:
		add("stamp-simulated", "Simulated Stamp", info.CloudID, SimulatedMark+"-...", "a simulated plan never reaches a real stamp: make a plan without simulated")
	case !simulated && marked:
		add("stamp-simulated", "Simulated Stamp", info.CloudID, "a real stamp's CloudID", "this endpoint is a simulator: set simulated in stamp.yaml and plan again")
	}
	return out
}
