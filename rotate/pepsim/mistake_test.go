package pepsim

import (
	"strings"
	"testing"
)

// TestMistakesSayWhere: each mistake of a scenario is found in one run, with its line and what could stand there.
func TestMistakesSayWhere(t *testing.T) {
	const head = "region: east\nfqdn: f.example\nidentity: AAD\nversion: 1.2301.2.58\ncloud-id: SIMULATED-x\nusers: [{name: u, password: 'env:PEP_X'}]\n"
	for text, want := range map[string]string{
		"heath: {}\nfaults:\n  - {on: '*', doo: '503'}\n": "7:1: unknown key \"heath\", wanted one of [region fqdn|9:15: unknown key \"doo\", wanted one of [on n probability",
		"shares: &s [{uncc: x}]\n":                        "7:14: unknown key \"uncc\"",
		"faults: [&a {onn: x}, *a, *a]\n":                 "7:14: unknown key \"onn\"", // and not for each alias: a file may have many
		"speed: fast\nseed: [1]\n":                        "7:8: cannot construct|8:7: cannot construct",
		"region: west\n":                                  "7:1: mapping key \"region\" already defined",
		"\tspeed: 1\n":                                    "7:1: found character",
		"update: running\nfaults:\n- {on: '*', do: '503'}\n- {on: Recv, do: '503'}\nhealth:\n  A: FAIL\n  AzsStoreSummary: green\n": "7:1: update|10:3: fault on \"Recv\"|11:1: health: \"A\"|11:1: health: \"green\"",
		"last-action: {started: 2025-03-01}\n":           "7:1: last-action: it needs word",
		"last-action: {word: Failed, started: monday}\n": "7:1: last-action: started \"monday\"",
	} {
		file := []byte(head + text)
		s, err := ReadScenario(file)
		if err == nil {
			var cfg Config
			if err = s.Orders(&cfg); err == nil {
				cfg.Users = nil
				_, err = New(cfg)
			}
			if err != nil {
				err = Locate(file, err)
			}
		}
		if err == nil {
			t.Errorf("%q is read", text)
			continue
		}
		got, parts := strings.Split(err.Error(), "\n"), strings.Split(want, "|")
		if len(got) != len(parts) {
			t.Errorf("%q\ngot  %q\nwant %q", text, got, parts)
			continue
		}
		for i, p := range parts {
			if !strings.HasPrefix(got[i], p) {
				t.Errorf("%q\ngot  %q\nwant %q", text, got[i], p)
			}
		}
	}
	if _, err := ReadScenario([]byte("- a\n")); err == nil || err.Error() != "1:1: a scenario must hold keys with values" {
		t.Errorf("%v", err)
	}
}

// TestReplacedOrdersMakeRoom: what is replaced does not count.
func TestReplacedOrdersMakeRoom(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Fault, maxOrders)
	for i := range many {
		many[i] = Fault{On: "Get", Do: fault503}
	}
	if err := s.orderFaults(faultsOrder{Faults: many}); err != nil {
		t.Fatal(err)
	}
	if err := s.orderFaults(faultsOrder{Faults: many[:1]}); err == nil {
		t.Error("one order too many is taken")
	}
	if err := s.orderFaults(faultsOrder{Faults: many[:1], Replace: true}); err != nil || len(s.faults.pending()) != 1 {
		t.Errorf("%d orders, %v", len(s.faults.pending()), err)
	}
}
