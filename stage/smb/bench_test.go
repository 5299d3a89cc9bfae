package smb_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/stage/smb"
)

// far is a proxy that makes a server lie a round trip away. Bytes are late, never fewer at a time: requests that are sent
// together travel together.
func far(t testing.TB, address string, trip time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			go late(server, near, trip/2)
			go late(near, server, trip/2)
		}
	}()
	return l.Addr().String()
}

// late copies with a delay.
func late(to, from net.Conn, delay time.Duration) {
	type parcel struct {
		due  time.Time
		data []byte
	}
	road := make(chan parcel, 4096)
	go func() {
		defer close(road)
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			if n > 0 {
				road <- parcel{time.Now().Add(delay), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	defer to.Close()
	for p := range road {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			from.Close()
			for range road { // let the reader end
			}
			return
		}
	}
}

// numbered is a set of n files of a usual size.
func numbered(n int) set {
	s := set{}
	for i := range n {
		s[fmt.Sprintf("Folder%03d", i)] = strings.Repeat(fmt.Sprintf("pfx of folder %03d;", i), 300) // 5.4 kB
	}
	return s
}

// BenchmarkStage publishes a set, verified, from login to the end, and lets smbclient put the same files, unverified, in
// the same run: five times each, in turn, and the medians. SMB_BENCH names a file that gets the table.
func BenchmarkStage(b *testing.B) {
	var rows []string
	for _, row := range []struct {
		files int
		trip  time.Duration
		most  float64
	}{{13, 0, 0.6}, {13, 5 * time.Millisecond, 0.6}, {300, 0, 0}, {300, 5 * time.Millisecond, 0.4}} {
		b.Run(fmt.Sprintf("files=%d/trip=%v", row.files, row.trip), func(b *testing.B) {
			s := serve(b, nil, nil)
			s.onMemory(b)
			if row.trip > 0 {
				s.Addr = far(b, s.Addr, row.trip)
				s.cfg.Addresses = []string{s.Addr}
			}
			what := numbered(row.files)
			source := b.TempDir()
			for _, f := range what.section().Files {
				dir := filepath.Join(source, "AAD", f.Folder)
				if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, f.Name), []byte(what[f.Folder]), 0o600)); err != nil {
					b.Fatal(err)
				}
			}
			const rounds = 5
			var ours, theirs []time.Duration
			for b.Loop() {
				ours, theirs = nil, nil
				for range rounds {
					s.empty(b)
					began := time.Now()
					sh, err := smb.Open(b.Context(), s.cfg)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := publish(b.Context(), sh, what); err != nil {
						b.Fatal(err)
					}
					_ = sh.Close()
					ours = append(ours, time.Since(began))

					s.empty(b)
					cmd := s.smbclient(b, "prompt off; recurse on; mput *")
					cmd.Dir = source
					began = time.Now()
					if out, err := cmd.CombinedOutput(); err != nil {
						b.Fatalf("smbclient: %v\n%s", err, out)
					}
					theirs = append(theirs, time.Since(began))
					if n := s.count(b); n != row.files {
						b.Fatalf("smbclient put %d files", n)
					}
				}
			}
			mine, peer := median(ours), median(theirs)
			ratio := float64(mine) / float64(peer)
			b.ReportMetric(ratio, "of-smbclient")
			b.ReportMetric(float64(mine.Microseconds())/1000, "ms/stage")
			wanted := "-"
			if row.most > 0 {
				wanted = fmt.Sprintf("at most %.1f", row.most)
			}
			rows = append(rows, fmt.Sprintf("| %d | %v | %.0f ms | %.0f ms | %.2f | %s |", row.files, row.trip, ms(mine), ms(peer), ratio, wanted))
		})
	}
	if file := os.Getenv("SMB_BENCH"); file != "" {
		table := "# What a stage over SMB costs\n\nWritten by `make bench-smb`, of one machine in one run: the medians of five rounds in which the two take turns, from login to the end.\n" +
			"certstamp makes the folders, writes, flushes, lists, reads everything back, swaps by renaming and reads back again; smbclient only puts the files. The server is\n" +
			"Samba on a file system in memory, the session is encrypted, and the round trip is made by a proxy in the test.\n\n" +
			"| files | round trip | certstamp stage, verified | smbclient mput | ratio | wanted |\n|---|---|---|---|---|---|\n" + strings.Join(rows, "\n") + "\n"
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// onMemory mounts a file system in memory over the share: what is measured are the two clients, not this machine's disk.
func (s *stand) onMemory(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", s.dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", s.dir).Run() })
}

// empty removes everything on the share, behind the server's back.
func (s *stand) empty(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// count is the number of files that lie on the share.
func (s *stand) count(t testing.TB) (n int) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
