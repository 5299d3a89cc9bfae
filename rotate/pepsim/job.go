package pepsim

import (
	"context"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// asJob runs a cmdlet behind the session: what comes back is a job, and what the cmdlet says stays in it, because the
// endpoint shows no Receive-Job. It ends with the session, a rotation that it has started does not.
func (s *Server) asJob(ctx context.Context, c *call, d *cmdlet) error {
	c.sh.mu.Lock()
	c.sh.jobs++
	number := c.sh.jobs
	c.sh.mu.Unlock()
	job := *c
	job.behind = true
	s.running.Go(func() {
		e := event{Event: "job-ended", User: c.sh.owner, Cmdlet: d.name}
		if err := d.run(c.sh.ctx, &job); err != nil {
			e.Reason = err.Error()
		}
		s.history.write(e)
	})
	return c.write(ctx, psrp.Output{Value: bag("System.Management.Automation.PSRemotingJob",
		member("Id", int32(number)), member("PSJobTypeName", "RemoteJob"), member("State", "Running"),
		member("HasMoreData", true), member("Location", s.cfg.Machine), member("Command", d.name))})
}
