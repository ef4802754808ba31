package machine

import (
	"os"
	"strconv"
	"strings"
)

// Where Linux tells of memory; a container's limit is in its control group
// (version 2).
const (
	meminfo     = "/proc/meminfo"
	groupLimit  = "/sys/fs/cgroup/memory.max"
	groupInUse  = "/sys/fs/cgroup/memory.current"
	kibibyte    = 1 << 10
	availableID = "MemAvailable:"
)

// AvailableMemory is how many bytes can be had without pushing anything else out: of
// the machine, and of the container if there is one. 0 means that it is not known.
func AvailableMemory() int64 {
	available := int64(0)
	if text, err := os.ReadFile(meminfo); err == nil {
		available = parseMeminfo(string(text))
	}
	limit, ok := readNumber(groupLimit)
	used, known := readNumber(groupInUse)
	if ok && known && (available == 0 || limit-used < available) {
		available = max(limit-used, 1)
	}
	return available
}

func parseMeminfo(text string) int64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == availableID {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return n * kibibyte
		}
	}
	return 0
}

// readNumber reads a file with a number in it; the word "max" is none.
func readNumber(name string) (int64, bool) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
