package pepsim

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// event is one line of the history: who asked for what. Parameters are names only, values never.
type event struct {
	Time       string   `json:"time"`
	Event      string   `json:"event"` // invoke, refused, login-refused, action-started, -resumed, -completed, -failed, bmc-updated, swapped, fault, ordered, shell-expired, host-answered, job-ended
	User       string   `json:"user,omitempty"`
	Cmdlet     string   `json:"cmdlet,omitempty"`
	Parameters []string `json:"parameters,omitempty"`
	Action     string   `json:"action,omitempty"`
	Step       string   `json:"step,omitempty"`
	Nodes      bool     `json:"nodes,omitempty"`
	On         string   `json:"on,omitempty"` // of a fault
	Do         string   `json:"do,omitempty"`
	Reason     string   `json:"reason,omitempty"` // of a refusal
	Answer     string   `json:"answer,omitempty"` // to a host call: value or error, never what it was
}

// remembered bounds what the history keeps for those who ask later; the writer gets everything.
const remembered = 50_000

type history struct {
	mu    sync.Mutex
	w     io.Writer // may be nil
	now   func() time.Time
	lines [][]byte // the latest, oldest first
}

func (h *history) write(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = h.now().UTC().Format(time.RFC3339Nano)
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	b = append(b, '\n')
	if h.lines = append(h.lines, b); len(h.lines) > remembered {
		h.lines = append([][]byte(nil), h.lines[remembered/2:]...)
	}
	if h.w != nil {
		_, _ = h.w.Write(b)
	}
}

// all is what is remembered, as JSON lines.
func (h *history) all() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Join(h.lines, nil)
}
