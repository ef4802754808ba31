// Package job describes what a sampling job draws, cuts it into tasks, draws a task,
// and makes the job's files. It knows no network, store or clock: whoever runs a
// job, one process or a pool, hands out the tasks of Job.Tasks in any order to
// anybody, has each drawn by a Runner, and gives all images to Files.
//
// Image i is a function of the job alone, since the job names the weights by their
// digest. So it doesn't matter who draws a task, how often, or in which batches:
// the files are the same bytes.
package job
