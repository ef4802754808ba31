//go:build !race

package allreduce

// raceDetector says that the race detector is on, under which sync.Pool drops at random.
const raceDetector = false
