// Package stagetest holds what every share must do, so that one transaction is right on all of them: [Conform] runs over a
// folder, over a share that fails on order, and over SMB to a real server.
package stagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/certstamp/certstamp/stage"
)

// Conform runs the suite. Open opens the same, at first empty, share again each time; what it returns is closed by the suite.
func Conform(t *testing.T, open func(t *testing.T) stage.Share) {
	sh := open(t)
	defer func() { _ = sh.Close() }()
	must := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(t, sh.Mkdir("One"), sh.Create("One/a.pfx", []byte("a")), sh.Mkdir("Two"))

	t.Run("refusals", func(t *testing.T) {
		for name, row := range map[string]struct {
			do   func() error
			like error // nil: any error
		}{
			"make what exists":          {func() error { return sh.Mkdir("One") }, fs.ErrExist},
			"make it in another case":   {func() error { return sh.Mkdir("ONE") }, fs.ErrExist},
			"create over a file":        {func() error { return sh.Create("One/a.pfx", nil) }, fs.ErrExist},
			"create in another case":    {func() error { return sh.Create("one/A.PFX", nil) }, fs.ErrExist},
			"create in no folder":       {func() error { return sh.Create("Three/a.pfx", nil) }, fs.ErrNotExist},
			"rename over a folder":      {func() error { return sh.Rename("One", "Two") }, fs.ErrExist},
			"rename in another case":    {func() error { return sh.Rename("One", "TWO") }, fs.ErrExist},
			"rename nothing":            {func() error { return sh.Rename("Three", "Four") }, fs.ErrNotExist},
			"remove a full folder":      {func() error { return sh.Remove("One") }, nil},
			"remove nothing":            {func() error { return sh.Remove("Three") }, fs.ErrNotExist},
			"look at nothing":           {func() error { _, err := sh.Stat("Three"); return err }, fs.ErrNotExist},
			"list nothing":              {func() error { _, err := sh.ReadDir("Three"); return err }, fs.ErrNotExist},
			"list a file":               {func() error { _, err := sh.ReadDir("One/a.pfx"); return err }, nil},
			"read nothing":              {func() error { _, err := sh.ReadFile("One/b.pfx", 9); return err }, fs.ErrNotExist},
			"read a folder":             {func() error { _, err := sh.ReadFile("One", 9); return err }, nil},
			"read more than allowed":    {func() error { _, err := sh.ReadFile("One/a.pfx", 0); return err }, nil},
			"leave by ..":               {func() error { return sh.Mkdir("../x") }, stage.ErrName},
			"a reserved name":           {func() error { return sh.Mkdir("CON") }, stage.ErrName},
			"a reserved name with dots": {func() error { return sh.Create("nul.pfx", nil) }, stage.ErrName},
			"a trailing dot":            {func() error { return sh.Mkdir("x.") }, stage.ErrName},
			"a trailing space":          {func() error { return sh.Mkdir("x ") }, stage.ErrName},
			"a colon":                   {func() error { return sh.Create("x:y", nil) }, stage.ErrName},
			"a control character":       {func() error { return sh.Create("x\ny", nil) }, stage.ErrName},
		} {
			if err := row.do(); err == nil || row.like != nil && !errors.Is(err, row.like) {
				t.Errorf("%s: %v, wanted %v", name, err, row.like)
			}
		}
	})

	t.Run("files", func(t *testing.T) {
		if b, err := sh.ReadFile("ONE/A.pfx", 10); err != nil || string(b) != "a" {
			t.Errorf("names are compared without case: %q %v", b, err)
		}
		for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 3<<20 + 7} {
			name, want := fmt.Sprintf("Two/%d.pfx", size), bytes.Repeat([]byte("pfx"), size/3+1)[:size]
			must(t, sh.Create(name, want))
			got, err := sh.ReadFile(name, int64(size))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back as %d: %v", size, len(got), err)
			}
			if info, err := sh.Stat(name); err != nil || info.Size() != int64(size) || info.IsDir() {
				t.Errorf("%d bytes: %v %v", size, info, err)
			}
			must(t, sh.Remove(name))
		}
		for range 3 {
			must(t, sh.Append("log", []byte("x")))
		}
		if b, err := sh.ReadFile("log", 10); err != nil || string(b) != "xxx" {
			t.Errorf("%q %v", b, err)
		}
	})

	t.Run("folders", func(t *testing.T) {
		must(t, sh.Mkdir("Two/Inner Folder"), sh.Create("Two/Inner Folder/b.pfx", []byte("b")), sh.Rename("Two/Inner Folder", "Moved"))
		entries, err := sh.ReadDir(".")
		must(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, fmt.Sprintf("%s %v", e.Name(), e.IsDir()))
		}
		if got, want := fmt.Sprint(names), "[Moved true One true Two true log false]"; got != want {
			t.Errorf("%s, wanted %s", got, want)
		}
		if b, err := sh.ReadFile("Moved/b.pfx", 1); err != nil || string(b) != "b" {
			t.Errorf("%q %v", b, err)
		}
		must(t, sh.Remove("Moved/b.pfx"), sh.Remove("Moved"))
		if n, ok, err := sh.Free(); err != nil || ok && n <= 0 {
			t.Errorf("%d bytes free, %v, %v", n, ok, err)
		}
	})

	t.Run("lock", func(t *testing.T) {
		must(t, sh.Mkdir("Lock"))
		unlock, err := sh.Lock("Lock/l", "the first run")
		must(t, err)
		other := open(t)
		var locked *stage.LockedError
		if _, err := other.Lock("Lock/l", "the second"); !errors.As(err, &locked) || !bytes.Contains([]byte(locked.Owner), []byte("the first run")) {
			t.Errorf("a second lock: %v", err)
		}
		must(t, unlock())
		again, err := other.Lock("Lock/l", "the second")
		must(t, err, again(), other.Close())
		// A run that ends without unlocking leaves nothing that holds the next one up.
		dies := open(t)
		_, err = dies.Lock("Lock/l", "the third")
		must(t, err, dies.Close())
		unlock, err = sh.Lock("Lock/l", "the fourth")
		must(t, err, unlock())
	})
}
