package kube

import (
	"context"
	"errors"
	"fmt"
)

// Ensure makes a Secret unless one of its name is there, which stays as it is: whoever
// brought it may have put anything into it but must not have left out a key. It says
// whether it was made.
func Ensure(ctx context.Context, c *Client, name string, keys []string, draw func() (Secret, error)) (made bool, err error) {
	there, err := c.Secret(ctx, name)
	if errors.Is(err, ErrNotFound) {
		var s Secret
		if s, err = draw(); err != nil {
			return false, err
		}
		s.Name = name
		if err = c.Create(ctx, s); err == nil {
			return true, nil
		}
		if errors.Is(err, ErrExists) { // somebody else was quicker
			there, err = c.Secret(ctx, name)
		}
	}
	if err != nil {
		return false, err
	}
	for _, k := range keys {
		if len(there.Data[k]) == 0 {
			return false, fmt.Errorf("the Secret %s is there and has no %s; add it, or delete the Secret to have one made", name, k)
		}
	}
	return false, nil
}
