package pepsim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// eventually waits until a condition holds, which another goroutine brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestEachStyleCanBeOrdered(t *testing.T) {
	for style, want := range map[string][]string{
		style2018: {"Overall action status: Success"},
		style2020: {"ActionPlanInstanceID: ID, Name: SecretRotation, CurrentStatus: Completed", "DONE"},
		style2022: {"ActionPlanInstanceID: ID, Name: SecretRotation, CurrentStatus: Completed", "DONE", "Action plan finished with status: 'Completed'"},
	} {
		for _, version := range []string{"1.1811.0.101", "1.2301.2.58"} { // its own style is another one
			r := newRehearsal(t, func(c *Config) { c.Style, c.Version = style, version })
			got := r.run(r.dial(), "Start-SecretRotation", param("Internal", true)).output
			if len(got) < len(want) {
				t.Fatalf("%s: %q", style, got)
			}
			got = got[len(got)-len(want):]
			if id := r.server.engine.latest(rotationFunction).id; id != "" {
				got[0] = strings.Replace(got[0], id, "ID", 1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s on %s: %q, want %q", style, version, got, want)
			}
		}
	}
}

// TestARotationOfLastYear: it is shown, a failed one wants a rerun, and neither hides the next.
func TestARotationOfLastYear(t *testing.T) {
	past := PastAction{Started: time.Date(2025, 3, 1, 22, 0, 0, 0, time.UTC), Ended: time.Date(2025, 3, 1, 23, 5, 0, 0, time.UTC)}
	past.Word = wordCompleted
	r := newRehearsal(t, func(c *Config) { c.LastAction = past })
	s := r.dial()
	got := r.run(s, "Get-ActionStatus", param("FunctionName", rotationFunction))
	o, ok := got.values[0].(*clixml.Object)
	if !ok {
		t.Fatalf("%T", got.values[0])
	}
	begun, _ := o.Get("StartTimeUtc")
	if text := fmt.Sprint(begun); !strings.Contains(text, "2025-03-01") || o.Text("CurrentStatus") != wordCompleted || !strings.Contains(o.Text("ProgressAsXml"), `EndTimeUtc="2025-03-01T23:05:00`) {
		t.Errorf("%v, %s", text, o.Text("ProgressAsXml"))
	}
	if got := r.run(s, "Start-SecretRotation", r.order()...); got.err != nil {
		t.Errorf("the next rotation: %+v", got.err)
	}
	r.serves("new")

	past.Word, past.Internal = wordFailed, true
	r = newRehearsal(t, func(c *Config) { c.LastAction = past })
	s = r.dial()
	if word := r.status(s); word != wordFailed {
		t.Errorf("status %q", word)
	}
	if got := r.run(s, "Start-SecretRotation", r.order()...); got.err == nil || !strings.Contains(got.err.ID, "RerunRequired") {
		t.Errorf("a new start after it: %+v", got.err)
	}
	if got := r.run(s, "Start-SecretRotation", param("Internal", true), param("ReRun", true)); got.err != nil {
		t.Errorf("its rerun: %+v", got.err)
	}
}

func TestASlowStep(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Speed, c.Slow = 12_000, Slowness{Step: 2, Minutes: 200} }) // a second more
	begun := time.Now()
	r.run(r.dial(), "Start-SecretRotation", r.order()...)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("it took %v", took)
	}
	steps := r.server.engine.latest(rotationFunction).steps
	if slow, usual := steps[1].ended.Sub(steps[1].started), steps[0].ended.Sub(steps[0].started); slow < time.Second || usual > slow {
		t.Errorf("step 1 took %v, step 2 %v", usual, slow)
	}
}

func TestWrongStampInformation(t *testing.T) {
	r := newRehearsal(t, func(c *Config) {
		c.Information = map[string]string{"RegionName": "west", "StampVersion": "1.2206.1.24", "CloudID": Mark + "-other", "Timezone": ""}
	})
	got := r.run(r.dial(), "Get-AzureStackStampInformation")
	o, ok := got.values[0].(*clixml.Object)
	if !ok {
		t.Fatalf("%T", got.values[0])
	}
	for name, want := range map[string]string{"RegionName": "west", "StampVersion": "1.2206.1.24", "CloudID": Mark + "-other", "ExternalDomainFQDN": "east.azurestack.contoso.com"} {
		if text := o.Text(name); text != want {
			t.Errorf("%s %q, want %q", name, text, want)
		}
	}
	if _, there := o.Get("Timezone"); there {
		t.Error("Timezone is still there")
	}
}

// TestAFullBufferBlocksTheCmdlet: nobody reads, so the cmdlet waits, and the rotation goes on without it. Whoever reads
// again gets every line. One that nobody comes back for ends with its shell.
func TestAFullBufferBlocksTheCmdlet(t *testing.T) {
	c := newControlled(t, func(c *Config) { c.Buffer, c.Chatter = 4096, 200 })
	blocked := func() bool {
		s := c.state()
		return len(s.Shells) == 1 && len(s.Shells[0].Commands) == 1 && s.Shells[0].Commands[0].Blocked
	}
	s := c.dial()
	run := s.Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: c.order()}, wsman.Options{AtMostOnce: true})
	eventually(t, "a blocked cmdlet", blocked)
	eventually(t, "the rotation's end", func() bool { return !c.state().Rotating })
	if held := c.state().Shells[0].Commands[0].Buffered; held < 4096 || held > 64<<10 {
		t.Errorf("%d bytes are held", held)
	}
	lines := 0
	for record := range run.Records() {
		if o, ok := record.(psrp.Output); ok && strings.Contains(fmt.Sprint(o.Value), "has to say") {
			lines++
		}
	}
	if result, err := run.Result(); err != nil || result.Lost != 0 || lines == 0 || lines%200 != 0 {
		t.Errorf("%d lines, %+v, %v", lines, result, err)
	}

	c = newControlled(t, func(c *Config) { c.Buffer, c.Chatter, c.Idle = 4096, 200, 3*time.Second })
	run = c.dial().Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: c.order()}, wsman.Options{AtMostOnce: true})
	eventually(t, "the shell's end", func() bool { return len(c.state().Shells) == 0 })
	if _, err := run.Result(); err == nil {
		t.Error("the session has outlived its shell")
	}
	eventually(t, "the rotation's end", func() bool { return !c.state().Rotating })
	if h := c.history.String(); strings.Count(h, `"event":"shell-expired"`) != 1 || !strings.Contains(h, "action-completed") || !strings.Contains(h, "has ended") {
		t.Errorf("history\n%s", h)
	}
	c.serves("new")
}

// TestAScenarioReachesTheConfig sets every key that Orders carries, and wants none of them lost.
func TestAScenarioReachesTheConfig(t *testing.T) {
	sc, err := ReadScenario([]byte(`
region: east
fqdn: azurestack.contoso.com
identity: ADFS
version: 1.2301.2.58
cloud-id: SIMULATED-1
domain: AZURESTACK
configuration: Other
speed: 7
users: [{name: 'A\b', password: 'env:PEP_P'}]
health: {AzsStoreSummary: WARN}
update: Running
fail: {step: 2, message: m, again: true}
fail-bmc: no
slow: {step: 3, minutes: 9}
output-style: 2020
chatter: 5
streams: Get-ActionStatus
last-action: {word: Failed, internal: true, started: 2025-03-01T22:00:00Z, ended: 2025-03-02}
stamp-information: {RegionName: west}
faults: [{on: Login, do: 401, times: 2, ms: 3}]
fault-delay-ms: 11
seed: 12
max-shells: 13
max-envelope: 14000
buffer: 15
idle-ms: 16
`))
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	if err := sc.Orders(&cfg); err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(cfg)
	elsewhere := []string{"Machine", "ERCS", "Users", "Endpoints", "OpenShare", "TLS", "Clock", "Rand", "History", "Logger"}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != slices.Contains(elsewhere, name) {
			t.Errorf("%s: %+v", name, v.Field(i))
		}
	}
	if cfg.Style != style2020 || cfg.LastAction.Ended.Sub(cfg.LastAction.Started) != 2*time.Hour || cfg.Faults[0].Do != fault401 {
		t.Errorf("%+v", cfg)
	}
	for text, want := range map[string]string{"fqdn": "fqdn is needed", "users": "a user is needed", "last-action": "wanted a date"} {
		one := *sc
		switch text {
		case "fqdn":
			one.FQDN = ""
		case "users":
			one.Users = nil
		case "last-action":
			one.LastAction.Started = "yesterday"
		}
		if err := one.Orders(&Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
