package core

import (
	"fmt"
	"strings"
)

// judge looks at how a life ended.
func (c *cluster) judge(err error) error {
	if err != nil {
		return err
	}
	switch {
	case c.stopped && !c.end.OK && c.published == 0 && strings.HasPrefix(c.end.Reason, "stopped before"):
		return nil
	case c.stopped && !c.end.OK && strings.HasPrefix(c.end.Reason, "stopped before training began"):
		return nil
	case c.stopped && c.end.OK && c.end.Step == c.published:
		return nil
	}
	if !c.end.OK || c.end.Step != c.config.Steps || c.published != c.config.Steps {
		return fmt.Errorf("the run ended badly: %+v", *c.end)
	}
	return nil
}
