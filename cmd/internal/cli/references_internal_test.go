package cli

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
)

// TestSupportKnowsEveryReference fills every secret reference that the type of a stamp file has: what support does not know,
// it cannot take out of an archive.
func TestSupportKnowsEveryReference(t *testing.T) {
	s := &stamp.Stamp{}
	var all []secret.Ref
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Field(i)
			switch {
			case f.Type() == reflect.TypeFor[secret.Ref]():
				r, err := secret.ParseRef(secret.PEP, fmt.Sprintf("env:PEP_%d", len(all)))
				if err != nil {
					t.Fatal(err)
				}
				f.Set(reflect.ValueOf(r))
				all = append(all, r)
			case f.Kind() == reflect.Struct && f.CanSet():
				fill(f)
			}
		}
	}
	fill(reflect.ValueOf(s).Elem())
	if len(all) < 7 {
		t.Fatalf("only %d references were found", len(all))
	}
	known := referencesOf(s)
	for _, r := range all {
		if !slices.Contains(known, r) {
			t.Errorf("%s is not known", r)
		}
	}
}
