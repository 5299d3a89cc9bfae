package psrp

import (
	"time"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Record is one thing a pipeline says: Output, ErrorRecord, Warning, Verbose, Debug, Information, Progress, or
// Unreadable for a message that does not decode.
type Record interface{ record() }

// Output is an object on the success stream. Value is what clixml.Unmarshal returns; Size is how many bytes it came in.
type Output struct {
	Value any
	Size  int
}

// Warning is a line of the warning stream.
type Warning struct{ Text string }

// Verbose is a line of the verbose stream.
type Verbose struct{ Text string }

// Debug is a line of the debug stream.
type Debug struct{ Text string }

// Information is what Write-Information and Write-Host say.
type Information struct {
	Text    string
	Source  string
	Tags    []string // PSHOST marks Write-Host
	Time    time.Time
	User    string
	Machine string
}

// Progress is one state of a progress bar.
type Progress struct {
	Activity         string
	ID               int32
	ParentID         int32 // -1: none
	Status           string
	CurrentOperation string
	Percent          int32 // -1: unknown
	SecondsLeft      int32 // -1: unknown
	Completed        bool
}

// ErrorRecord is an error of the pipeline, as PowerShell describes it.
type ErrorRecord struct {
	Message           string // ErrorDetails_Message, else Exception.Message, else ToString
	ID                string // FullyQualifiedErrorId
	Category          Category
	Exception         string // type name of the exception
	Activity          string
	Reason            string
	TargetName        string
	TargetType        string
	RecommendedAction string
	StackTrace        string
	Raw               *clixml.Object // everything, nil when we made the record ourselves
}

// Unreadable stands for a message that arrived whole but whose data does not decode.
type Unreadable struct {
	Type MessageType
	Err  error
}

func (Output) record()      {}
func (Warning) record()     {}
func (Verbose) record()     {}
func (Debug) record()       {}
func (Information) record() {}
func (Progress) record()    {}
func (ErrorRecord) record() {}
func (Unreadable) record()  {}

// Category is System.Management.Automation.ErrorCategory.
type Category int32

// The categories that the privileged endpoint is documented or seen to use.
const (
	NotSpecified        Category = 0
	InvalidArgument     Category = 5
	InvalidData         Category = 6
	InvalidOperation    Category = 7
	NotImplemented      Category = 11
	ObjectNotFound      Category = 13
	OperationStopped    Category = 14
	OperationTimeout    Category = 15
	ParserError         Category = 17
	PermissionDenied    Category = 18
	ResourceBusy        Category = 19
	SecurityError       Category = 25
	ProtocolError       Category = 26
	ConnectionError     Category = 27
	AuthenticationError Category = 28
	LimitsExceeded      Category = 29
	QuotaExceeded       Category = 30
)
