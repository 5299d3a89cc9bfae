package validate

import (
	"crypto/x509"
	"time"
)

// The life left of a certificate is the business of three rules, and of one at a time: too little for the stamp (Expiry
// Date), too little for a plan made now (Plan Window), or so little that the stamp alerts (Stamp Alerts).

// planDays is what must be left on the day a plan is made, so that its last day still meets Expiry Date.
func planDays(r *run) time.Duration {
	least := r.Policy.Rule("expiry-date").Days("min-days")
	if !r.deployment() {
		return least // no plan has them
	}
	return least + time.Duration(r.Policy.RotationFacts().ValidDays)*24*time.Hour
}

func (r *run) left(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(r.AsOf) }
