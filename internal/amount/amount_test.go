package amount

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]string{-1: "-1 days", 0: "0 days", 1: "1 day", 2: "2 days", 21: "21 days"} {
		if got := Of(n, "day"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
