package pepsim

import (
	"context"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// question is a host call that waits for its answer.
type question struct {
	psrp.HostCall
	answered chan struct{}
}

// orderedCalls are what a server asks before the cmdlet runs, when that was ordered: one that nobody answers, one that waits.
func (s *Server) orderedCalls(ctx context.Context, sh *shell, c *command) error {
	if err := s.ask(ctx, sh, c, psrp.HostCall{ID: -100, Method: psrp.HostWriteLine2, Name: "WriteLine2", Args: []any{"ordered host call"}}); err != nil {
		return err
	}
	return s.ask(ctx, sh, c, psrp.HostCall{ID: 1, Method: psrp.HostReadLine, Name: "ReadLine"})
}

// ask makes a host call. One that wants an answer blocks the cmdlet until it comes, whatever it says, or the pipeline is
// stopped: with a client that never answers for ever, as on a real endpoint.
func (s *Server) ask(ctx context.Context, sh *shell, c *command, h psrp.HostCall) error {
	h.Pipeline = c.id
	q := &question{HostCall: h, answered: make(chan struct{})}
	sh.mu.Lock()
	err := sh.core.Ask(h)
	if err == nil && !h.Void() {
		c.question = q
	}
	sh.flush()
	sh.mu.Unlock()
	if err != nil || h.Void() {
		return err
	}
	select {
	case <-q.answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hear takes the client's answer to a host call and lets the cmdlet go on. The caller holds the shell's lock.
func (s *Server) hear(sh *shell, a psrp.HostAnswered) {
	e := event{Event: "host-answered", User: sh.owner, Answer: "value"}
	if a.Err != nil {
		e.Answer = "error"
	}
	c := sh.commands[a.Pipeline]
	if c == nil || c.question == nil || c.question.ID != a.ID || c.question.Method != a.Method {
		e.Event, e.Reason = "refused", "an answer to a host call that nobody made"
		s.history.write(e)
		return
	}
	s.history.write(e)
	close(c.question.answered)
	c.question = nil
}
