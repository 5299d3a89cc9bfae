package main_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestDockerfile holds what a linter of Dockerfiles would: every stage pinned or empty, nothing but the program in the last one.
func TestDockerfile(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	lines := strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n")
	args := map[string]string{}
	var last []string
	for _, l := range lines {
		word, rest, _ := strings.Cut(l, " ")
		switch word {
		case "ARG":
			name, value, _ := strings.Cut(rest, "=")
			args[name] = value
		case "FROM":
			last = nil
			image := strings.Fields(rest)[0]
			if name, ok := strings.CutPrefix(image, "${"); ok {
				image = args[strings.TrimSuffix(name, "}")]
			}
			if !regexp.MustCompile(`^docker\.io/[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}$`).MatchString(image) && image != "scratch" {
				t.Errorf("the image %q is not pinned by registry, tag and digest", image)
			}
		case "ADD":
			t.Errorf("%s: ADD fetches and unpacks; COPY does not", l)
		}
		last = append(last, l)
	}
	if last[0] != "FROM scratch" {
		t.Errorf("the last stage begins with %q", last[0])
	}
	for _, want := range []string{`USER 65532:65532`, `ENTRYPOINT ["/certstamp"]`, `COPY --from=build /out/certstamp /certstamp`} {
		n := 0
		for _, l := range last {
			if l == want {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the last stage has %q %d times", want, n)
		}
	}
	for _, l := range last {
		if strings.HasPrefix(l, "RUN ") || strings.HasPrefix(l, "CMD ") || strings.HasPrefix(l, "COPY ") && !strings.HasPrefix(l, "COPY --from=build ") {
			t.Errorf("the last stage has %q", l)
		}
	}
}
