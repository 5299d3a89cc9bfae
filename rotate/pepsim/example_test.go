package pepsim_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/certstamp/certstamp/rotate/pepsim"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// The zero value is a working stamp: a test starts it, points its own client at it, and asks it afterwards.
func ExampleStart() {
	var cfg pepsim.Config
	stamp, err := pepsim.Start(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stamp.Close()

	host, port, _ := net.SplitHostPort(stamp.WinRM)
	number, _ := strconv.Atoi(port)
	ctx := context.Background()
	session, err := wsman.Dial(ctx, wsman.Config{Host: host, Port: number, User: pepsim.DefaultUser, Password: wsman.Password(pepsim.DefaultPassword)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close(ctx)
	run := session.Invoke(ctx, psrp.Command{Name: "Get-CloudAdminUserList"}, wsman.Options{})
	for record := range run.Records() {
		if o, ok := record.(psrp.Output); ok {
			fmt.Println(o.Value)
		}
	}
	if _, err := run.Result(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(bytes.Count(stamp.History(), []byte(`"cmdlet":"Get-CloudAdminUserList"`)), "invocation")
	// Output:
	// CloudAdmin
	// 1 invocation
}

// What goes wrong is ordered in the Config, or while the stamp runs at its control endpoint.
func ExampleConfig() {
	_, err := pepsim.New(pepsim.Config{
		Users:  []pepsim.User{pepsim.Login(`CONTOSO\admin`, "a made-up password")},
		Fail:   pepsim.Failure{Step: 4, Message: "the gateway is away"},
		Faults: []pepsim.Fault{{On: "Receive", Nth: []int{5}, Do: "close-after"}, {On: "Login", Probability: 2, Do: "401"}},
	})
	fmt.Println(err)
	// Output: fault with probability 2, wanted 0 to 1
}
