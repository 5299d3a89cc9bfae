package validate

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/policies"
)

// Run judges every file by every rule, then the set, and reports everything at once. The Policy of in must not be nil.
// When ctx ends, what was not judged is Skipped and the report is not complete.
func Run(ctx context.Context, in Input) Outcome {
	r := newRun(in)
	set := &Set{run: r}
	w := waivers{list: in.Policy.Waivers(), asOf: in.AsOf}

	files := slices.Clone(in.Files)
	sortFiles(r, files)
	set.Subjects = make([]*Subject, len(files))
	set.results = make([]map[string]Result, len(files))
	reports := make([]CertificateReport, len(files))
	each(len(files), func(i int) {
		s := open(ctx, r, files[i])
		s.Class = newClassifier(&r.Input, r.anchors).classify(s.Leaf, s.pool())
		set.Subjects[i] = s
		reports[i], set.results[i] = judge(ctx, s, w)
	})
	if r.deployment() {
		set.Transitions = transitions(set)
	}

	out := Outcome{Transitions: set.Transitions}
	for _, s := range set.Subjects {
		out.Subjects = append(out.Subjects, *s)
	}
	for _, c := range reports {
		for _, f := range c.Tests {
			f.Folders = []string{c.Folder}
			set.judged = append(set.judged, f)
		}
	}
	out.Report = StampReport{Stamp: in.Stamp, Simulated: in.Simulated, Certificates: reports, Set: judgeSet(set, w)}
	if !r.deployment() {
		out.Report.Type = string(r.Type)
	}
	sum(&out.Report)
	return out
}

// each runs f for 0 … n-1, at most GOMAXPROCS at a time. Every call writes to its own place, so order does not matter.
func each(n int, f func(int)) {
	var wg crew.Group
	slots := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}

// sortFiles puts files into catalogue order; folders that are no endpoint's come last.
func sortFiles(r *run, files []File) {
	place := func(f File) int {
		parts := strings.Split(f.Path, "/")
		if len(parts) < 2 {
			return len(r.catalogue)
		}
		e, ok := endpointOf(r, parts[len(parts)-2])
		if !ok {
			return len(r.catalogue)
		}
		return slices.IndexFunc(r.catalogue, func(c policies.Endpoint) bool { return c.ID == e.ID })
	}
	slices.SortStableFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Path, b.Path))
	})
}

// judge applies every file rule once, each after the rules it needs.
func judge(ctx context.Context, s *Subject, w waivers) (CertificateReport, map[string]Result) {
	report := CertificateReport{
		Folder: s.Folder, File: s.File, Thumbprint: s.Thumbprint(), FileSHA256: s.BlobSHA256, LeafSHA256: s.LeafSHA256(),
		Verdict: Pass, Tests: []Finding{},
	}
	if s.Leaf != nil {
		report.NotAfter = instant(s.Leaf.NotAfter)
	}
	results := make(map[string]Result)
	for _, r := range Rules() {
		if !r.Sets.has(s.run) {
			continue
		}
		j := apply(ctx, r, s, results)
		f := w.apply(finding(r.ID, r.Name, r.About, s.run.Policy, j), r.Waivable(s.run.Policy), s.Folder)
		results[r.ID] = f.Result // a waived fault must not keep other rules from judging
		report.Tests = append(report.Tests, f)
		report.Verdict = worseVerdict(report.Verdict, f.Result)
	}
	return report, results
}

// apply judges one rule, or says why it cannot be judged.
func apply(ctx context.Context, r Rule, s *Subject, results map[string]Result) Judgement {
	if ctx.Err() != nil {
		return skip("the run was interrupted", "run it again")
	}
	if j, blocked := unready(r, s); blocked {
		return j
	}
	for _, id := range r.Needs {
		if got := results[id]; got == Fail || got == Skipped {
			return skip(needsSentence(r), "fix what the other tests found first")
		}
	}
	j := r.Check(s)
	if r.Sealed && s.Bundle == nil && j.Result != Fail {
		return unseen(s, j)
	}
	return j
}

// unseen turns a judgement over the outside of a file into what it is worth: a fault counts, its absence proves nothing.
func unseen(s *Subject, j Judgement) Judgement {
	if brokenFile(s) {
		return skip("Parse PFX failed", "fix Parse PFX first")
	}
	found := "no fault can be seen without the password"
	switch {
	case j.Result == Warning:
		found = j.Found + "; more cannot be seen without the password"
	case j.Result == OK && j.Found != "":
		found += ": " + j.Found
	}
	return skip(found, "judge the file with its password")
}

// needsSentence says which tests a skipped one waits for, in the words the ReadinessChecker's users know.
func needsSentence(r Rule) string {
	names := make([]string, len(r.Needs))
	for i, id := range r.Needs {
		names[i] = ruleName(id)
	}
	return "the " + r.Name + " check was skipped because " + strings.Join(names, " and/or ") + " failed"
}

func ruleName(id string) string {
	for _, r := range []Rule{certChain, dnsNames} {
		if r.ID == id {
			return r.Name
		}
	}
	return id
}

func brokenFile(s *Subject) bool { return s.readErr != nil || s.openErr != nil }

// unready says what a rule would have to see and cannot.
func unready(r Rule, s *Subject) (Judgement, bool) {
	const withPassword = "judge the file with its password"
	switch r.Reads {
	case ReadsFile:
		if s.sealed() && s.readErr == nil {
			return skip("the file is sealed with age", withPassword), true
		}
		if s.readErr != nil && r.ID != parseID {
			return skip("Parse PFX failed", "fix Parse PFX first"), true
		}
		if s.openErr != nil && r.ID != parseID && len(s.Facts.Keys) == 0 {
			return skip("Parse PFX failed", "fix Parse PFX first"), true
		}
	case ReadsCertificates:
		switch {
		case s.Leaf != nil:
		case brokenFile(s):
			return skip("Parse PFX failed", "fix Parse PFX first"), true
		case s.Bundle != nil:
			return skip("the file holds no certificate", "fix Parse PFX first"), true
		default:
			return skip("there is no password and no public twin"+keyGuess(r, s), "write the twin with certstamp pack, or "+withPassword), true
		}
	}
	return Judgement{}, false
}

// keyGuess is what the length of an encrypted key tells of its size, which nobody else can say of a closed file.
func keyGuess(r Rule, s *Subject) string {
	if r.ID != keyLengthID || s.Facts == nil || len(s.Facts.Keys) != 1 || s.Facts.Keys[0].SizeHint() == "" {
		return ""
	}
	return "; by its length the key is " + s.Facts.Keys[0].SizeHint()
}

const (
	parseID     = "parse-pfx"
	keyLengthID = "key-length"
)

// finding completes a judgement: a skipped test still says what it would have wanted, and everything but OK its source.
func finding(id, name, about string, p *policies.Policy, j Judgement) Finding {
	f := Finding{ID: id, Name: name, Result: j.Result, Found: j.Found, Wanted: j.Wanted, Hint: j.Hint, Folders: j.Folders}
	if j.Result != OK {
		f.Source = p.Rule(id).Source.String()
		if f.Wanted == "" {
			f.Wanted = about
		}
	}
	return f
}

func judgeSet(set *Set, w waivers) []Finding {
	out := []Finding{}
	for _, r := range SetRules() {
		if !r.Sets.has(set.run) {
			continue
		}
		for _, j := range r.Check(set) {
			f := finding(r.ID, r.Name, r.About, set.run.Policy, j)
			f = w.apply(f, r.Waivable(set.run.Policy), f.Folders...)
			out = append(out, f)
			set.judged = append(set.judged, f)
		}
	}
	return out
}

// sum draws the verdict. What is not complete is never a pass.
func sum(r *StampReport) {
	r.Verdict, r.Complete = Pass, true
	all := slices.Clone(r.Set)
	for _, c := range r.Certificates {
		all = append(all, c.Tests...)
	}
	for _, f := range all {
		r.Verdict = worseVerdict(r.Verdict, f.Result)
		r.Complete = r.Complete && f.Result != Skipped
	}
}

func worseVerdict(v Verdict, r Result) Verdict {
	switch {
	case v == FailedOnce || r == Fail:
		return FailedOnce
	case v == Warn || r == Warning || r == Skipped:
		return Warn
	}
	return Pass
}
