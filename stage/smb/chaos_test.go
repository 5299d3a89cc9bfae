package smb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/smb"
)

// child is the variable that makes this test binary one run of the stage, so that a run can be killed like any process.
const child = "SMB_CHAOS_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(child); spec != "" {
		os.Exit(chaosChild(spec))
	}
	os.Exit(m.Run())
}

// chaosChild publishes one of the two sets once.
func chaosChild(spec string) int {
	address, which, _ := strings.Cut(spec, " ")
	what := older
	if which == "new" {
		what = newer
	}
	sh, err := smb.Open(context.Background(), smb.Config{UNC: `\\127.0.0.1\certs`, Addresses: []string{address}, User: "root", Password: secret.New(password)})
	if err == nil {
		_, err = stage.Publish(context.Background(), sh, what.section(), what.digest(), what.open, stage.Options{
			Run: fmt.Sprintf("run-%d", os.Getpid()), Owner: "a run that may be killed",
			Wait: func(_ context.Context, d time.Duration) error { time.Sleep(min(d, 100*time.Millisecond)); return nil },
		})
		_ = sh.Close()
	}
	var locked *stage.LockedError
	if err == nil {
		fmt.Println("published")
		return 0
	}
	fmt.Println(err)
	switch {
	case errors.As(err, &locked), errors.Is(err, stage.ErrBusy):
		return 3 // the server has not noticed yet that the last run died, or the reader was in the way all the time
	case errors.Is(err, stage.ErrTransport):
		return 4
	}
	return 1
}

// TestKilledAnywhere kills the client or the serving smbd at random moments of a stage, over and over, while a reader of
// another connection looks at the set. Every look sees the old set, the new one or none. SMB_CHAOS asks for more than the
// 30 runs of every day.
func TestKilledAnywhere(t *testing.T) {
	runs, victims := 30, []string{"client", "server"}
	if n, err := strconv.Atoi(os.Getenv("SMB_CHAOS")); err == nil {
		runs = n
	}
	for _, row := range []struct {
		name  string
		share []string
	}{{"default", nil}, {"strict rename", []string{"strict rename = yes"}}} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, nil, row.share)
			s.put(t, older)
			seed := uint64(time.Now().UnixNano())
			rng := rand.New(rand.NewPCG(seed, 1))
			ctx, stop := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			looks := map[string]int{}
			watching.Go(func() { s.watch(ctx, t, looks) })

			killed := map[string]int{}
			longest := s.oneRun(t, "new", 0, "", killed) // how long a run takes undisturbed
			for i := range runs / 2 {
				which := []string{"old", "new"}[i%2]
				victim := victims[rng.IntN(len(victims))]
				s.oneRun(t, which, 1+time.Duration(rng.Int64N(int64(longest))), victim, killed)
				// Again until it is through: recovery puts right whatever that left.
				s.oneRun(t, which, 0, "", killed)
				want := which
				if got := s.lies(t); got != want {
					t.Fatalf("seed %d, run %d: the share holds the %s set, wanted %s", seed, i, got, want)
				}
				if left := s.inFlight(t); len(left) > 0 {
					t.Fatalf("seed %d, run %d: left %v", seed, i, left)
				}
			}
			stop()
			watching.Wait()
			if looks["mixed"] > 0 || looks["old"]+looks["new"] == 0 {
				t.Errorf("seed %d: looks %v", seed, looks)
			}
			if !s.kept(t) {
				t.Errorf("seed %d: no kept set is whole", seed)
			}
			t.Logf("seed %d: %d runs, killed %v, server restarted %d times with a damaged locking.tdb, looks %v", seed, runs/2, killed, s.restarts, looks)
		})
	}
}

// oneRun runs one stage as a process. With a victim it is killed after a while; without, it is repeated until it ends well.
func (s *stand) oneRun(t *testing.T, which string, after time.Duration, victim string, killed map[string]int) time.Duration {
	t.Helper()
	said := ""
	for try := range 100 {
		began := time.Now()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), child+"="+s.Addr+" "+which)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if victim != "" {
			done := make(chan struct{})
			timer := time.AfterFunc(after, func() {
				defer close(done)
				if victim == "client" {
					_ = cmd.Process.Kill()
					return
				}
				signal(s.serving(cmd.Process.Pid), "-KILL")
			})
			_ = cmd.Wait()
			if !timer.Stop() {
				<-done
			}
			if code := cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
				killed[victim]++
			}
			return time.Since(began)
		}
		_ = cmd.Wait()
		said = out.String()
		code := cmd.ProcessState.ExitCode()
		switch {
		case code == 0:
			return time.Since(began)
		case s.damaged() && (try >= 5 || code == 1):
			s.restarts++
			s.restart(t)
		case code == 3, code == 4: // the server is still clearing up after the last one
			time.Sleep(time.Duration(min(try, 10)) * 10 * time.Millisecond)
		default:
			t.Fatalf("a run that nobody disturbed: %s", said)
		}
	}
	t.Fatalf("the share never came back: %s\n%s", said, tail(s.Log()))
	return 0
}

// damaged reports whether the server itself says that its table of open files cannot be read. A child that is killed while
// it writes a record leaves half of it, and until the server is started anew, whatever that record is about counts as open.
func (s *stand) damaged() bool {
	return strings.Contains(s.Log(), "ndr_pull_share_mode_data failed")
}

// serving is the server's child that a client talks to.
func (s *stand) serving(client int) (pids []string) {
	out, err := exec.Command("ss", "-Htnp", "state", "established").CombinedOutput()
	if err != nil {
		return nil
	}
	var ports []string
	lines := strings.Split(string(out), "\n")
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) >= 5 && strings.Contains(l, fmt.Sprintf("pid=%d,", client)) {
			ports = append(ports, f[2]) // the client's own address
		}
	}
	for _, l := range lines {
		f := strings.Fields(l)
		for _, p := range ports {
			if len(f) >= 5 && f[3] == p {
				if _, rest, ok := strings.Cut(l, "pid="); ok {
					// Until it has forked, the main process holds the connection: without that there is no server any more.
					if pid, _, _ := strings.Cut(rest, ","); pid != strconv.Itoa(s.Pid()) {
						pids = append(pids, pid)
					}
				}
			}
		}
	}
	return pids
}

// watch reads the whole set over a connection of its own, again and again, and counts what it saw. A look that a swap came
// into the middle of is taken again: only files that were all there at once count as a set.
func (s *stand) watch(ctx context.Context, t *testing.T, looks map[string]int) {
	for ctx.Err() == nil {
		sh, err := smb.Open(ctx, s.cfg)
		if err != nil {
			continue
		}
		for ctx.Err() == nil {
			seen, err := look(sh)
			for again := 0; seen == "between" && err == nil; again++ {
				if seen, err = look(sh); seen == "between" && again == 3 {
					seen = "mixed" // no swap takes that long
				}
			}
			if err != nil {
				break
			}
			looks[seen]++
			if seen == "mixed" {
				t.Error("a mixture was seen")
			}
			select { // a stamp does not read all the time, and nothing can be renamed while somebody does
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
		}
		_ = sh.Close()
	}
}

// look lists the set and reads every file of it.
func look(sh stage.Share) (string, error) {
	var first string
	for i, f := range older.section().Files {
		b, err := sh.ReadFile("Certificates/AAD/"+f.Folder+"/"+f.Name, 1<<20)
		if errors.Is(err, stage.ErrTransport) {
			return "", err
		}
		var now string
		switch {
		case err != nil:
			now = "absent"
		case string(b) == older[f.Folder]:
			now = "old"
		case string(b) == newer[f.Folder]:
			now = "new"
		default:
			return "mixed", nil // half a file, or another one's
		}
		if i == 0 {
			first = now
		} else if now != first {
			return "between", nil // a swap came in between: files of both, none of them broken
		}
	}
	return first, nil
}

// kept reports whether every set that was kept is whole.
func (s *stand) kept(t *testing.T) bool {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.dir, "_certstamp", "previous-*"))
	if err != nil || len(dirs) == 0 {
		return false
	}
	for _, d := range dirs {
		which := map[string]int{}
		for _, f := range older.section().Files {
			b, err := os.ReadFile(filepath.Join(d, "AAD", f.Folder, f.Name))
			switch {
			case err != nil:
				return false
			case string(b) == older[f.Folder]:
				which["old"]++
			case string(b) == newer[f.Folder]:
				which["new"]++
			}
		}
		if n := len(older); which["old"] != n && which["new"] != n {
			return false
		}
	}
	return true
}
