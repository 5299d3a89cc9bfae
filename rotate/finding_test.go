package rotate

import "github.com/certstamp/certstamp/validate"

func isFail(f validate.Finding) bool { return f.Result == validate.Fail }
