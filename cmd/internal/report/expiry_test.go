package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// stranger finds a program that judges. Without one in a pipeline, nothing is judged and nothing is green.
func stranger(t *testing.T, name, install string) string {
	t.Helper()
	at, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("%s is not installed: %s", name, install)
		}
		t.Fatalf("%s: %v: %s", name, err, install)
	}
	return at
}

func watched(texts ...string) *Document {
	d := &Document{Command: "expiry", AsOf: "2026-11-29T12:00:00Z"}
	for _, text := range texts {
		d.Stamps = append(d.Stamps, Stamp{Stamp: text, Simulated: true, Expiries: []Expiry{
			{Endpoint: text + " gone", Source: "live", Host: text, State: ExpiryUnreachable, Samples: 3, Detail: text},
			{
				Endpoint: text, Source: "live", Host: text, State: ExpiryCritical, Leaves: 2, Samples: 16, NotBefore: "2025-12-01T00:00:00Z", NotAfter: "2026-12-24T23:30:00Z",
				Ends: "2026-12-20T23:30:00Z", DaysLeft: new(21), SubjectCN: text, IssuerCN: text, SerialNumber: "77", Detail: text,
			},
			{Endpoint: text, Source: "file", Path: text, State: ExpiryReady, NotBefore: "2026-11-01T00:00:00Z", NotAfter: "2027-12-01T00:00:00Z", Ends: "2027-12-01T00:00:00Z", DaysLeft: new(366), SerialNumber: "78"},
			{Type: "AppServices", Endpoint: text, Source: "file", Path: text, State: ExpiryExpired, NotBefore: "2025-11-01T00:00:00Z", NotAfter: "2026-11-01T00:00:00Z", Ends: "2026-11-01T00:00:00Z", DaysLeft: new(-29), SerialNumber: "79"},
			{Type: "AppServices", Endpoint: text, Source: "file", Path: text, State: ExpiryExpired, NotBefore: "2025-11-01T00:00:00Z", NotAfter: "2026-11-01T00:00:00Z", Ends: "2026-11-01T00:00:00Z", DaysLeft: new(-29), SerialNumber: "79"},
			{Type: "DBAdapter", Endpoint: text, Source: "file", Path: text, State: ExpiryUnread, Detail: text},
		}})
	}
	return d
}

func TestMetrics(t *testing.T) {
	var b bytes.Buffer
	if err := Metrics(&b, watched("east")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range strings.Lines(b.String()) {
		if !strings.HasPrefix(l, "#") {
			got = append(got, strings.TrimSuffix(l, "\n"))
		}
	}
	// 2026-12-24T23:30:00Z is 1798155000 (date -d), and so on: nothing here is computed by what is tested.
	live := `subject_CN="east",issuer_CN="east",serial_number="77",source="live",stamp="east",endpoint="east",host="east"`
	ready := `subject_CN="",issuer_CN="",serial_number="78",source="file",stamp="east",endpoint="east",filepath="east"`
	app := `subject_CN="",issuer_CN="",serial_number="79",source="file",stamp="east",endpoint="AppServices east",filepath="east"`
	want := []string{
		`azs_scan_success{stamp="east"} 1`,
		`azs_scan_timestamp_seconds{stamp="east"} 1795953600`,
		`azs_probe_success{stamp="east",endpoint="east gone",host="east"} 0`,
		`azs_probe_success{stamp="east",endpoint="east",host="east"} 1`,
		`azs_endpoint_leaf_match{stamp="east",endpoint="east",host="east"} 0`,
		`x509_cert_not_before{` + live + `} 1764547200`, `x509_cert_not_before{` + ready + `} 1793491200`, `x509_cert_not_before{` + app + `} 1761955200`,
		`x509_cert_not_after{` + live + `} 1798155000`, `x509_cert_not_after{` + ready + `} 1827619200`, `x509_cert_not_after{` + app + `} 1793491200`,
		`x509_cert_expired{` + live + `} 0`, `x509_cert_expired{` + ready + `} 0`, `x509_cert_expired{` + app + `} 1`,
		`azs_secret_not_after{kind="external",source="live",stamp="east",endpoint="east",host="east"} 1797809400`,
		`azs_secret_not_after{kind="external",source="file",stamp="east",endpoint="AppServices east",filepath="east"} 1793491200`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMetricsJudged has Prometheus' own tool read what hostile texts make of the file.
func TestMetricsJudged(t *testing.T) {
	promtool := stranger(t, "promtool", "apt-get install prometheus")
	var b bytes.Buffer
	if err := Metrics(&b, watched(hostile...)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\nazs_probe_success{"); n < len(hostile) {
		t.Errorf("%d texts and %d samples", len(hostile), n)
	}
	if !utf8.Valid(b.Bytes()) {
		t.Error("it is not UTF-8")
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v: %s", err, out)
	}
}

// TestAlertsJudged holds the example's alerts to the metrics that there are, and has them tested around every edge.
func TestAlertsJudged(t *testing.T) {
	promtool := stranger(t, "promtool", "apt-get install prometheus")
	dir := filepath.Join("..", "..", "..", "examples", "monitoring")
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "certstamp.rules.yml"}, {"test", "rules", "certstamp.rules.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
			t.Errorf("promtool %v: %v: %s", args, err, out)
		}
	}
	var b bytes.Buffer
	if err := Metrics(&b, watched("east")); err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(filepath.Join(dir, "certstamp.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bazs_\w+`).FindAllString(string(rules), -1)
	if len(names) == 0 {
		t.Error("the alerts name no metric")
	}
	for _, name := range names {
		if !strings.Contains(b.String(), "\n"+name+"{") {
			t.Errorf("the alerts are over %s, which there is not", name)
		}
	}
}

const icalendar = `
import icalendar, json, sys
out = []
for e in icalendar.Calendar.from_ical(sys.stdin.buffer.read()).walk("VEVENT"):
    out.append({"uid": str(e["UID"]), "summary": str(e["SUMMARY"]), "about": str(e["DESCRIPTION"]), "start": str(e["DTSTART"].dt), "end": str(e["DTEND"].dt),
        "sequence": int(e["SEQUENCE"]), "made": e["DTSTAMP"].dt.isoformat(), "alarms": [str(a["TRIGGER"].dt.days) for a in e.walk("VALARM")]})
print(json.dumps(out))
`

// TestCalendarJudged has another program read the calendar: one event for each certificate that is due, on its day.
func TestCalendarJudged(t *testing.T) {
	python := stranger(t, "python3", "apt-get install python3-icalendar")
	if system := "/usr/bin/python3"; exec.CommandContext(t.Context(), python, "-c", "import icalendar").Run() != nil {
		python = system // the one for which the package was installed
	}
	var b bytes.Buffer
	d := watched(append([]string{"east", "Zoë's,very;long\\place äöüßäöüßäöüßäöüßäöüßäöüßäöüßäöüß"}, hostile...)...)
	if err := Calendar(&b, d); err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.Split(strings.TrimSuffix(b.String(), "\r\n"), "\r\n") {
		if len(l) > 75 || strings.ContainsAny(l, "\r\n\x00\x1b") || !utf8.ValidString(l) {
			t.Fatalf("line %d: %q", i+1, l)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", icalendar)
	cmd.Stdin = &b
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("icalendar: %v", err)
	}
	type event struct {
		UID, Summary, About, Start, End, Made string
		Sequence                              int
		Alarms                                []string
	}
	var events []event
	if err := json.Unmarshal(out, &events); err != nil {
		t.Fatal(err)
	}
	if len(events) < 2*len(hostile)/2 {
		t.Errorf("%d events", len(events))
	}
	want := event{
		"external.east..east@certstamp", "SIMULATED east: certificate of east ends",
		"east ends 2026-12-20T23:30:00Z.\nSubject east, issued by east, serial number 77.\neast", "2026-12-20", "2026-12-21", "2026-11-29T12:00:00+00:00", 29932560,
		[]string{"-90", "-30"},
	}
	if fmt.Sprint(events[0]) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", events[0], want)
	}
	if got := events[2].Summary; got != "SIMULATED "+d.Stamps[1].Stamp+": certificate of "+d.Stamps[1].Stamp+" ends" {
		t.Errorf("another text came back: %q", got)
	}
	ids := map[string]bool{}
	for _, e := range events {
		if ids[e.UID] {
			t.Errorf("event %q is there twice", e.UID)
		}
		ids[e.UID] = true
	}
}

// TestCalendarMoves: a certificate may be followed by one that ends earlier, and the event must go there too.
func TestCalendarMoves(t *testing.T) {
	sequence := func(asOf, ends string) int {
		t.Helper()
		d := &Document{AsOf: asOf, Stamps: []Stamp{{Stamp: "east", Expiries: []Expiry{{Endpoint: "ACSBlob", Source: "live", State: ExpiryOK, Ends: ends}}}}}
		var b bytes.Buffer
		if err := Calendar(&b, d); err != nil {
			t.Fatal(err)
		}
		var n int
		_, after, _ := strings.Cut(b.String(), "SEQUENCE:")
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		return n
	}
	first := sequence("2026-11-29T12:00:00Z", "2028-01-01T00:00:00Z")
	if again := sequence("2026-11-30T12:00:00Z", "2027-01-01T00:00:00Z"); again <= first {
		t.Errorf("the number went from %d to %d", first, again)
	}
}

// TestCalendarOfStrangeDays: a day that a program cannot read costs the whole calendar.
func TestCalendarOfStrangeDays(t *testing.T) {
	d := &Document{AsOf: "2026-11-29T12:00:00Z", Stamps: []Stamp{{Stamp: "east", Expiries: []Expiry{
		{Endpoint: "never", Source: "file", State: ExpiryOK, Ends: "9999-12-31T23:59:59Z"},
		{Endpoint: "zero", Source: "file", State: ExpiryExpired, Ends: "0000-01-01T00:00:00Z"},
		{Endpoint: "late", Source: "file", State: ExpiryOK, Ends: "9998-12-31T23:59:59Z"},
	}}}}
	var b bytes.Buffer
	if err := Calendar(&b, d); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`DATE:(\d+)\r`).FindAllStringSubmatch(b.String(), -1)
	want := "[[DATE:19700101\r 19700101] [DATE:19700102\r 19700102] [DATE:99981231\r 99981231] [DATE:99990101\r 99990101]]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %q", got)
	}
	if err := Calendar(&b, &Document{}); err == nil {
		t.Error("a calendar that was made on no day")
	}
}

// TestMetricsOfTheEnd: x509_cert_expired is about the leaf, as x509_cert_not_after beside it.
func TestMetricsOfTheEnd(t *testing.T) {
	d := watched("east")
	d.Stamps[0].Expiries = []Expiry{{Endpoint: "ACSBlob", Source: "live", Host: "h", State: ExpiryExpired, Leaves: 1, NotBefore: "2026-01-01T00:00:00Z", NotAfter: "2027-01-01T00:00:00Z", Ends: "2026-11-01T00:00:00Z", DaysLeft: new(-28)}}
	d.Stamps = append(d.Stamps, Stamp{Stamp: "west", Outcome: NotLookedAt})
	var b bytes.Buffer
	if err := Metrics(&b, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`host="h"} 0`, `azs_scan_success{stamp="west"} 0`} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
	if !regexp.MustCompile(`x509_cert_expired\{.*\} 0\n`).MatchString(b.String()) || strings.Contains(b.String(), `azs_scan_timestamp_seconds{stamp="west"}`) {
		t.Errorf("got\n%s", b.String())
	}
}
