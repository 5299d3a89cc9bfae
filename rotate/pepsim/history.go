package pepsim

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// event is one line of the history: who asked for what. Parameters are names only, values never.
type event struct {
	Time       string   `json:"time"`
	Event      string   `json:"event"` // invoke, refused, login-refused, action-started, -resumed, -completed, -failed, bmc-updated, swapped
	User       string   `json:"user,omitempty"`
	Cmdlet     string   `json:"cmdlet,omitempty"`
	Parameters []string `json:"parameters,omitempty"`
	Action     string   `json:"action,omitempty"`
	Step       string   `json:"step,omitempty"`
	Nodes      bool     `json:"nodes,omitempty"`
	On         string   `json:"on,omitempty"` // of a fault
	Do         string   `json:"do,omitempty"`
	Reason     string   `json:"reason,omitempty"` // of a refusal
}

type history struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

func (h *history) write(e event) {
	if h.w == nil {
		return
	}
	e.Time = h.now().UTC().Format(time.RFC3339Nano)
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.w.Write(append(b, '\n'))
}

// transcript is what the endpoint remembers of a session until Close-PrivilegedEndpoint moves it away.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (t *transcript) note(at time.Time, cmdlet string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) < 10_000 {
		t.lines = append(t.lines, fmt.Sprintf("%s %s", at.UTC().Format(time.RFC3339), cmdlet))
	}
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\r\n") + "\r\n"
}
