package pep

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// The words of one test of Test-AzureStack.
const (
	TestPass = "PASS"
	TestWarn = "WARN"
	TestFail = "FAIL"
)

// HealthTest is one test of a health check.
type HealthTest struct {
	Name   string `json:"name"`
	Result string `json:"result"` // PASS, WARN or FAIL
	Detail string `json:"detail,omitempty"`
}

// HealthReport is the answer of one health check.
type HealthReport struct {
	Known   bool          `json:"known"`   // an answer was understood; an unknown one is never healthy
	Healthy bool          `json:"healthy"` // no test failed and the stamp did not say otherwise; warnings don't count here
	Stated  *bool         `json:"stated,omitempty"`
	Tests   []HealthTest  `json:"tests"`
	Errors  []ErrorRecord `json:"errors,omitempty"`
}

// Bad returns the tests that did not pass: failures, and warnings if they count.
func (h HealthReport) Bad(warnings bool) []HealthTest {
	var out []HealthTest
	for _, t := range h.Tests {
		if t.Result == TestFail || warnings && t.Result == TestWarn {
			out = append(out, t)
		}
	}
	return out
}

const (
	maxTests         = 1024
	maxHealthObjects = 16384
)

// TestAzureStack runs a health check. Depending on release and parameters the stamp answers with a bool, with objects, or
// with lines meant for a console; all count.
func (s *Session) TestAzureStack(ctx context.Context, check plan.HealthCheck, secrets Secrets, sink Sink) (HealthReport, error) {
	reply, err := s.ask(ctx, check.Call, secrets, sink)
	if err != nil {
		return HealthReport{Errors: reply.Errors}, err
	}
	return healthOf(reply), nil
}

func healthOf(reply Reply) HealthReport {
	h := HealthReport{Errors: reply.Errors}
	tests := testSet{index: map[string]int{}, read: map[*clixml.Object]bool{}}
	for _, v := range reply.outputs {
		h.readOutput(&tests, v, 0)
	}
	for _, r := range reply.Records {
		switch r.Kind {
		case InformationRecord, WarningRecord, VerboseRecord:
			tests.lines(r.Text)
		}
	}
	h.Tests = tests.list
	h.Known = !tests.over && (h.Stated != nil || len(h.Tests) > 0)
	h.Healthy = h.Known && len(h.Bad(false)) == 0 && (h.Stated == nil || *h.Stated)
	return h
}

func (h *HealthReport) readOutput(tests *testSet, v any, depth int) {
	if depth > 8 {
		tests.over = true
		return
	}
	switch x := v.(type) {
	case bool:
		// A false is never overruled by a later true.
		if h.Stated == nil || *h.Stated {
			h.Stated = &x
		}
	case string:
		tests.lines(x)
	case *clixml.Object:
		if x == nil || tests.read[x] {
			return
		}
		if len(tests.read) >= maxHealthObjects {
			tests.over = true
			return
		}
		tests.read[x] = true
		if b, ok := x.Value.(bool); ok {
			h.readOutput(tests, b, depth+1)
			return
		}
		name, result := text(x, "Name", "TestName", "ValidationName", "Title"), text(x, "Result", "Status", "TestResult", "Outcome")
		if word := testWord(result); name != "" && word != "" {
			tests.add(HealthTest{Name: cut(name, 256), Result: word, Detail: text(x, "Detail", "Details", "Message", "Description", "FailureReason")})
		}
		for _, item := range x.List {
			h.readOutput(tests, item, depth+1)
		}
		if nested, ok := member(x, "Tests", "Results", "TestResults", "Validations"); ok {
			h.readOutput(tests, nested, depth+1)
		}
	}
}

// testSet keeps the worst result of each test: the console repeats in its summary what it said before.
type testSet struct {
	list  []HealthTest
	index map[string]int
	read  map[*clixml.Object]bool // an answer may name an object as often as it likes, and within itself
	over  bool                    // something lies beyond the bounds, and may be what did not pass
}

func (s *testSet) add(t HealthTest) {
	key := strings.ToLower(t.Name)
	if i, ok := s.index[key]; ok {
		if severity(t.Result) > severity(s.list[i].Result) {
			s.list[i].Result = t.Result
		}
		if s.list[i].Detail == "" {
			s.list[i].Detail = t.Detail
		}
		return
	}
	if len(s.list) >= maxTests {
		s.over = true
		return
	}
	s.index[key] = len(s.list)
	s.list = append(s.list, t)
}

func severity(result string) int {
	switch result {
	case TestFail:
		return 2
	case TestWarn:
		return 1
	}
	return 0
}

// Console lines: a result word at an end, a name beside it. The words are upper case there, which keeps prose out.
var (
	resultLast = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\s*(.{1,200}?)[\s:.\-|\[]+(PASS|WARN|FAIL)(?:ED|ING)?\]?\s*$`)
	})
	resultFirst = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\s*\[?(PASS|WARN|FAIL)(?:ED|ING)?\]?[\s:.\-|]+(\S.{0,200}?)\s*$`)
	})
)

func (s *testSet) lines(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if m := resultFirst().FindStringSubmatch(line); m != nil {
			s.add(HealthTest{Name: m[2], Result: m[1]})
		} else if m := resultLast().FindStringSubmatch(line); m != nil {
			s.add(HealthTest{Name: m[1], Result: m[2]})
		}
	}
}

func testWord(s string) string {
	switch strings.ToUpper(strings.TrimSpace(s)) {
	case "PASS", "PASSED", "SUCCESS", "SUCCEEDED", "OK", "HEALTHY", "TRUE":
		return TestPass
	case "WARN", "WARNING":
		return TestWarn
	case "FAIL", "FAILED", "FAILURE", "ERROR", "CRITICAL", "UNHEALTHY", "FALSE":
		return TestFail
	}
	return ""
}
