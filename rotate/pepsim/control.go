package pepsim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxOrder bounds the body of one order.
const maxOrder = 64 << 10

// Token must come with every request to the control endpoint, as Authorization: Bearer. It is new in every run.
func (s *Server) Token() string { return s.token }

// serveControl takes orders and questions of a test on l until ctx ends.
func (s *Server) serveControl(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.control(l.Addr()), ErrorLog: discardLog(), MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// control is the handler: a browser on this machine may reach the port, so the Host must be the address itself, which a
// rebound name is not, and the token must be known, which no page can.
func (s *Server) control(self net.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		_, _ = w.Write(s.history.all())
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, s.state()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) { takeOrder(s, w, r, s.orderFaults) })
	mux.HandleFunc("POST /health", func(w http.ResponseWriter, r *http.Request) { takeOrder(s, w, r, s.orderHealth) })
	mux.HandleFunc("POST /fail", func(w http.ResponseWriter, r *http.Request) { takeOrder(s, w, r, s.orderFailure) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case r.Host != self.String():
			answerJSON(w, http.StatusMisdirectedRequest, problem{"the Host is not the address of this endpoint"})
		case !ok || subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1:
			answerJSON(w, http.StatusUnauthorized, problem{"the token of the start line is needed: Authorization: Bearer TOKEN"})
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxOrder)
			mux.ServeHTTP(w, r)
		}
	})
}

type problem struct {
	Error string `json:"error"`
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, b = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// takeOrder reads one JSON document strictly and answers with the state that follows from it.
func takeOrder[T any](s *Server, w http.ResponseWriter, r *http.Request, do func(T) error) {
	var order T
	b, err := io.ReadAll(r.Body)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err = d.Decode(&order); err == nil {
			if _, end := d.Token(); !errors.Is(end, io.EOF) {
				err = errors.New("more than one document")
			}
		}
	}
	if err == nil {
		err = do(order)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answerJSON(w, http.StatusRequestEntityTooLarge, problem{err.Error()})
	case err != nil:
		answerJSON(w, http.StatusBadRequest, problem{err.Error()})
	default:
		s.history.write(event{Event: "ordered", On: r.URL.Path})
		answerJSON(w, http.StatusOK, s.state())
	}
}

// faultsOrder adds orders, or replaces those that are left.
type faultsOrder struct {
	Replace bool    `json:"replace"`
	Faults  []Fault `json:"faults"`
}

// Bounds of what a test may have ordered at a time.
const maxOrders = 1000

func (s *Server) orderFaults(o faultsOrder) error {
	for _, f := range o.Faults {
		if err := f.check(); err != nil {
			return err
		}
	}
	left := 0
	if !o.Replace {
		left = len(s.faults.pending())
	}
	if len(o.Faults)+left > maxOrders {
		return fmt.Errorf("more than %d orders", maxOrders)
	}
	if o.Replace {
		s.faults.replace(o.Faults)
	} else {
		s.faults.add(o.Faults)
	}
	return nil
}

// orderHealth sets results of health tests, and leaves the others as they are.
func (s *Server) orderHealth(results map[string]string) error {
	if err := errors.Join(checkHealth(results)...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for test, result := range results {
		for known := range s.ill {
			if strings.EqualFold(known, test) {
				delete(s.ill, known)
			}
		}
		if s.ill == nil {
			s.ill = map[string]string{}
		}
		s.ill[test] = result
	}
	return nil
}

// orderFailure lets a step of the next rotation fail, or of none when the step is 0.
func (s *Server) orderFailure(f Failure) error {
	if err := f.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
	return nil
}

// state is what a test can see of the stamp without being one of its clients.
type state struct {
	Mark     string            `json:"mark"`
	CloudID  string            `json:"cloudId"`
	Version  string            `json:"version"`
	Served   []servedLeaf      `json:"served"`
	Action   *actionState      `json:"lastAction"`
	Rotating bool              `json:"rotating"`
	Shells   []shellState      `json:"shells"`
	Faults   []Fault           `json:"faults"` // that can still fire
	Fail     Failure           `json:"fail"`
	Health   map[string]string `json:"health"` // tests that were given a result
}

type servedLeaf struct {
	Folder   string    `json:"folder"`
	Name     string    `json:"name"`
	SHA256   string    `json:"sha256"`
	NotAfter time.Time `json:"notAfter"`
}

type actionState struct {
	ID       string      `json:"id"`
	Function string      `json:"function"`
	Status   string      `json:"status"`
	Internal bool        `json:"internal"`
	Reruns   int         `json:"reruns"`
	Started  time.Time   `json:"started"`
	Ended    time.Time   `json:"ended,omitzero"`
	Steps    []stepState `json:"steps"`
}

type stepState struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
}

type shellState struct {
	ID        string         `json:"id"`
	Owner     string         `json:"owner"`
	Connected bool           `json:"connected"`
	Commands  []commandState `json:"commands"`
}

type commandState struct {
	ID       string `json:"id"`
	Buffered int    `json:"buffered"` // bytes that nobody has fetched
	Blocked  bool   `json:"blocked"`  // the buffer is full, so the cmdlet waits
	Ended    bool   `json:"ended"`
}

func (s *Server) state() state {
	out := state{Mark: Mark, CloudID: s.cfg.CloudID, Version: s.cfg.Version, Served: []servedLeaf{}, Shells: []shellState{}, Health: map[string]string{}, Faults: s.faults.pending()}
	if a := s.engine.latest(rotationFunction); a != nil {
		out.Rotating = a.word == wordRunning
		out.Action = &actionState{ID: a.id, Function: a.function, Status: a.word, Internal: a.internal, Reruns: a.reruns, Started: a.started, Ended: a.ended}
		for _, st := range a.steps {
			out.Action.Steps = append(out.Action.Steps, stepState{st.name, st.status, st.started, st.ended})
		}
	}
	s.mu.Lock()
	shells := make([]*shell, 0, len(s.shells))
	for _, sh := range s.shells {
		shells = append(shells, sh)
	}
	for _, e := range s.served {
		leaf := servedLeaf{Folder: e.Folder, Name: e.Name}
		if c := e.Certificate.Leaf; c != nil {
			sum := sha256.Sum256(c.Raw)
			leaf.SHA256, leaf.NotAfter = hex.EncodeToString(sum[:]), c.NotAfter
		}
		out.Served = append(out.Served, leaf)
	}
	for test, result := range s.ill {
		out.Health[test] = strings.ToUpper(result)
	}
	out.Fail = s.fail
	s.mu.Unlock()
	for _, sh := range shells {
		out.Shells = append(out.Shells, sh.state())
	}
	slices.SortFunc(out.Shells, func(a, b shellState) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func (sh *shell) state() shellState {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	out := shellState{ID: sh.id, Owner: sh.owner, Connected: sh.connected, Commands: []commandState{}}
	for id, c := range sh.commands {
		out.Commands = append(out.Commands, commandState{ID: id.String(), Buffered: c.out.size, Blocked: c.blocked, Ended: c.out.final})
	}
	slices.SortFunc(out.Commands, func(a, b commandState) int { return strings.Compare(a.ID, b.ID) })
	return out
}
