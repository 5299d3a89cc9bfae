// Windows has issued certificates with negative serial numbers and reads them. They are reported, which needs them read.
//go:debug x509negativeserial=1

// Command certstamp takes the external certificates of Azure Stack Hub stamps from request to rotation.
//
// This file is the doorway: it hands streams, environment and clock to the command line and exits with what that
// returns. Nothing below reads any of them by itself.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // maintenance windows name time zones, and Windows ships none

	"github.com/certstamp/certstamp/cmd/internal/cli"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Main(ctx, os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Now: time.Now, Version: version,
	})
	stop() // os.Exit would skip a deferred call
	os.Exit(code)
}
