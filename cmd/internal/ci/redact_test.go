package ci

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/secret"
)

// TestRedactManySecrets: what is replaced does not depend on how it is searched for. The short alphabet makes secrets that begin
// alike, overlap and hold one another.
func TestRedactManySecrets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	replaced := 0
	for range 3000 {
		var r Redactor
		for range random.IntN(12) {
			r.Add(secret.New(word("ab", 1+random.IntN(9))))
		}
		forms := append([]string(nil), r.forms...)
		sort.SliceStable(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
		text := word("abc", random.IntN(40))
		want := text
		for _, f := range forms {
			want = strings.ReplaceAll(want, f, secret.Redacted)
		}
		if got := r.Redact(text); got != want {
			t.Fatalf("%q with %q: %q, want %q", text, forms, got, want)
		}
		if want != text {
			replaced++
		}
	}
	if replaced < 100 {
		t.Errorf("only %d texts held a secret", replaced)
	}
}

// TestRedactorHoldsEachSecretOnce: a fleet gives the same password once for each of its stamps.
func TestRedactorHoldsEachSecretOnce(t *testing.T) {
	var once, often Redactor
	once.Add(secret.New("Correct7Horse!"))
	for range 100 {
		often.Add(secret.New("Correct7Horse!"))
	}
	if len(once.forms) == 0 || len(often.forms) != len(once.forms) || len(often.Known()) != 1 {
		t.Errorf("%d forms of %d secrets, want %d of one", len(often.forms), len(often.Known()), len(once.forms))
	}
	// One that is a form of another is a secret of its own.
	often.Add(secret.New("Q29ycmVjdDdIb3JzZSE="))
	if got := often.Redact("UTI5eWNtVmpkRGRJYjNKelpTRT0="); got != secret.Redacted {
		t.Errorf("the base64 form of the second: %s", got)
	}
}

// BenchmarkRedact searches a line of a report for the secrets of one stamp and of a fleet.
func BenchmarkRedact(b *testing.B) {
	line := strings.Repeat("PFX Encryption: OK  ", 6)
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var r Redactor
			for i := range n {
				r.Add(secret.New(fmt.Sprintf("Correct%dHorse!Battery", i)))
			}
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				r.Redact(line)
			}
		})
	}
}

// TestRedactorKnowsEveryForm in which a secret could leave.
func TestRedactorKnowsEveryForm(t *testing.T) {
	const s = "Pa#ss\"wörd & <1>\r\nsecond line"
	var r Redactor
	r.Add(secret.Value{})
	if len(r.forms) > 0 || len(r.Known()) > 0 {
		t.Errorf("nothing is a secret: %q", r.forms)
	}
	r.Add(secret.New(s))
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for how, form := range map[string]string{
		"itself": s, "its first line": "Pa#ss\"wörd & <1>", "its second line": "second line", "harmless": Text(s),
		"JSON": string(j[1 : len(j)-1]), "JSON of ours": strings.ReplaceAll(string(j[1:len(j)-1]), "#", `\u0023`), "an error": strings.Trim(strconv.Quote(s), `"`),
		"HTML": html.EscapeString(s), "a query": url.QueryEscape(s), "a path": url.PathEscape(s),
		"base64": base64.StdEncoding.EncodeToString([]byte(s)), "base64 of a URL": base64.RawURLEncoding.EncodeToString([]byte(s)),
	} {
		if got := r.Redact("<" + form + ">"); got != "<"+secret.Redacted+">" {
			t.Errorf("%s: %q became %q", how, form, got)
		}
	}
}
