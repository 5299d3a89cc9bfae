package validate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

func TestOneForAll(t *testing.T) {
	in, items := goodSet(t, "2301", policies.ADFS)
	oneCertificate(items[:12]) // the last folder has one of its own
	fill(t, &in, items)
	if diff := cmp.Diff(map[string]Result{"set: duplicate-key": Warning}, said(testRun(t, in).Report)); diff != "" {
		t.Errorf("all but one folder (-want +got):\n%s", diff)
	}
	in, items = goodSetOf(t, policies.AppServices, "2301", policies.AAD)
	oneCertificate(items)
	fill(t, &in, items)
	if diff := cmp.Diff(map[string]Result{"set: duplicate-key": Warning}, said(testRun(t, in).Report)); diff != "" {
		t.Errorf("App Service wants certificates of their own (-want +got):\n%s", diff)
	}
}
