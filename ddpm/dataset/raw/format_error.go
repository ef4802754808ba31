package raw

import (
	"errors"
	"fmt"
)

// ErrDamaged says that a file is not what was once written, as far as its end shows:
// any of the images that Each has given of it may be wrong.
var ErrDamaged = errors.New("damaged")

// FormatError says where a file is not what its format says.
type FormatError struct {
	File string
	// Offset is where in the file, in bytes; where Inside is set, in what the gzip
	// file holds.
	Offset int64
	Inside bool
	// Expected and Found say what should be there and what is; Fix what to do.
	Expected, Found, Fix string
	// Err is ErrDamaged, or nil.
	Err error
}

// Unwrap gives Err.
func (e *FormatError) Unwrap() error { return e.Err }

func (e *FormatError) Error() string {
	where := fmt.Sprintf("at byte %d", e.Offset)
	if e.Inside {
		where += " of the unpacked data"
	}
	return fmt.Sprintf("dataset %s: %s: expected %s, found %s; %s", e.File, where, e.Expected, e.Found, e.Fix)
}

// What to do about files that are not as their format says.
const (
	FixDownload = "download the file again"
	FixPair     = "put the images and labels of one set side by side, or remove the labels file (it is optional)"
)
