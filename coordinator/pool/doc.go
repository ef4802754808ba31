// Package pool is the queue of the sampling pool: jobs that draw images from a run's
// checkpoint, or measure it on held-out ones, cut into tasks, which any number of workers
// takes under leases.
//
// Queue decides, without clock, goroutine or etcd: which task is next, whose lease
// is over, when a job has ended. Server is the shell around it. It writes every
// change to etcd before the queue has it and before anybody hears of it:
//
//	/ddpm/pool/leader/…             who keeps the queue
//	/ddpm/pool/jobs/<id>            a Record
//	/ddpm/pool/tasks/<id>/<number>  a Task that was ever handed out
//
// so that a coordinator that comes after another goes on where that one was: leases
// hold for their whole time once more, and a worker that has drawn on meanwhile
// finishes its task as if nothing had been.
//
// No lease is needed for what is drawn to be right. An image is a function of the job
// and its number, so two workers that draw it write the same bytes to the same key of
// the Store, and whoever comes first has written it. Leases keep workers from doing
// the same work.
//
// A task that its worker's machine can't do is for other workers; that one gets none of the
// job for a while, and a job fails that no worker which is there can do. Who could not is
// forgotten with the coordinator: names are of processes, and whoever is there tells it to
// the next one anew. A job whose worker fell silent comes after the others.
//
// The last task of a job comes when all others are done: it reads the images back and
// makes the grid, the npz and, last, job.json; of an evaluation it reads the results back
// and makes the report. Images pass the coordinator only when somebody asks it for them.
package pool
