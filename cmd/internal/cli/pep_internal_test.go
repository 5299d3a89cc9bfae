package cli

import (
	"strings"
	"testing"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/rotate/pep"
)

// TestARecordTooMany: an endpoint says as much as it likes, and the document holds what fits and counts the rest.
func TestARecordTooMany(t *testing.T) {
	var d report.Document
	held := 0
	r := pep.Record{Kind: pep.ErrorKind, Text: strings.Repeat("x", 1<<20), Error: &pep.ErrorRecord{Message: "m"}}
	for range 100 {
		keepRecord(&d, r, &held)
	}
	if n := len(d.Records); n < 60 || n > 64 || d.LeftOut != 100-n || d.Records[0].Detail == "" {
		t.Errorf("%d records, %d left out", n, d.LeftOut)
	}
}
