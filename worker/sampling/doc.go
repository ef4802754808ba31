// Package sampling is a worker of the sampling pool. It takes a task from the
// coordinator, draws its images with the checkpoint's averaged weights, or measures
// those weights on held-out images, puts what comes of it into the Store, says so, and
// takes the next, until it is asked to end: then it gives its task back.
//
// What fails for a reason of the task's own is a fault: the task goes back with it, is
// counted there, and the worker goes on. What fails because of this machine, as where it
// does not see the images to measure on, goes back for others, and the worker goes on
// with other jobs. One that can't get at the Store for long ends, and no task is to blame.
//
// While it draws it renews the task's lease. A coordinator that does not answer is no
// reason to stop: the images are right whoever knows of them. A lease that is over is
// one, since somebody else draws the task.
//
// What goes to the Store is create-only. Who finds an object there has nothing to do:
// its bytes are the ones that this worker would write.
package sampling
