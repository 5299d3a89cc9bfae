//go:build unix

package cli

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWriteFileIntoPipe holds that a FIFO is written into and stays one, also behind a link: no file takes its place.
func TestWriteFileIntoPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("fifo", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, link} {
		got := make(chan string)
		go func() {
			r, err := os.Open(fifo)
			if err != nil {
				got <- err.Error()
				return
			}
			b, _ := io.ReadAll(r)
			_ = r.Close() // before the next one writes: it would find a reader that reads no more
			got <- string(b)
		}()
		if err := writeFile(name, []byte("said"), 0o644); err != nil {
			t.Fatal(err)
		}
		if b := <-got; b != "said" {
			t.Errorf("%s: %q", name, b)
		}
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the FIFO is %v now, %v", info.Mode(), err)
	}
}
