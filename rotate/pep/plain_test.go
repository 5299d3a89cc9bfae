package pep

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// TestEveryStreamIsKeptWhole: of each of the seven streams a tool finds the text, and what the text does not keep.
func TestEveryStreamIsKeptWhole(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	password := clixml.NewSecureString("S3cret-Pa55word")
	bag := &clixml.Object{
		Types: []string{"Azs.Test", "System.Object"}, ToString: "test",
		Adapted: []clixml.Property{{Name: "Name", Value: "adapted"}, {Name: "Count", Value: int64(3)}, {Name: "Password", Value: password}},
		Extended: []clixml.Property{
			{Name: "Name", Value: "AzsStore"},
			{Name: "At", Value: at},
			{Name: "Share", Value: 0.5},
			{Name: "Odd", Value: math.NaN()},
			{Name: "None", Value: nil},
			{Name: "State", Value: clixml.NewEnum("System.DayOfWeek", "Friday", 5)},
			{Name: "Nodes", Value: &clixml.Object{List: []any{"a", int32(1)}}},
			{Name: "Table", Value: &clixml.Object{Dict: []clixml.Entry{{Key: "k", Value: true}}}},
			{Name: "Login", Value: &clixml.Object{
				Types: []string{"System.Management.Automation.PSCredential"}, Adapted: []clixml.Property{{Name: "UserName", Value: "bob"}, {Name: "Password", Value: password}},
			}},
		},
	}
	for _, row := range []struct {
		record psrp.Record
		kind   Kind
		text   string
		object string // JSON
	}{
		{psrp.Output{Value: bag}, OutputRecord, "test", `{"At":"2026-01-02T03:04:05Z","Count":3,"Login":{"Password":"[redacted]","UserName":"bob"},"Name":"AzsStore","Nodes":["a",1],"None":null,"Odd":"NaN","Password":"[redacted]","Share":0.5,"State":"Friday","Table":{"k":true}}`},
		{psrp.Output{Value: "text"}, OutputRecord, "text", `null`},
		{psrp.Output{Value: int32(7)}, OutputRecord, "7", `7`},
		{psrp.Output{Value: true}, OutputRecord, "True", `true`},
		{psrp.ErrorRecord{Message: "no"}, ErrorKind, "no", `null`},
		{psrp.Warning{Text: "careful"}, WarningRecord, "careful", `null`},
		{psrp.Verbose{Text: "long"}, VerboseRecord, "long", `null`},
		{psrp.Debug{Text: "deep"}, DebugRecord, "deep", `null`},
		{psrp.Information{Text: "told", Source: "Test", Tags: []string{"PSHOST"}, Time: at}, InformationRecord, "told", `{"source":"Test","tags":["PSHOST"],"time":"2026-01-02T03:04:05Z"}`},
		{psrp.Progress{Activity: "Rotate", Status: "step", Percent: 40, SecondsLeft: -1}, ProgressRecord, "Rotate: step", `{"activity":"Rotate","status":"step","percent":40,"secondsLeft":-1,"completed":false}`},
	} {
		r := recordOf(row.record)
		b, err := json.Marshal(r.Object)
		if err != nil || r.Kind != row.kind || !strings.Contains(r.Text, row.text) || string(b) != row.object {
			t.Errorf("%T: %s %q %s (%v), wanted %s %q %s", row.record, r.Kind, r.Text, b, err, row.kind, row.text, row.object)
		}
	}
}

// TestPlainIsBounded: an object that is all breadth or depth costs what the bounds say.
func TestPlainIsBounded(t *testing.T) {
	wide := &clixml.Object{List: make([]any, 100_000)}
	if out, ok := plain(wide).([]any); !ok || len(out) > maxPlainNodes {
		t.Errorf("%d elements are kept", len(out))
	}
	deep := &clixml.Object{List: []any{"end"}}
	for range 1000 {
		deep = &clixml.Object{List: []any{deep}}
	}
	if b, err := json.Marshal(plain(deep)); err != nil || len(b) > 64 {
		t.Errorf("%d bytes are kept: %v", len(b), err)
	}
}
