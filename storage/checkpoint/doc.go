// Package checkpoint lays a run out in a Store: its config, its metrics and its
// checkpoints, under keys that people read in a bucket's browser.
//
//	runs/<run>/run.json                   what the run's weights are a function of
//	runs/<run>/metrics.jsonl              one JSON object a line, by step
//	runs/<run>/checkpoints/step-00005000/
//	    model_index.json  unet/  scheduler/       opens in diffusers as a DDPMPipeline (EMA weights)
//	    state/part-00000-of-00008.safetensors     weights, Adam's moments and EMA, a slice each
//	    samples.png                               what this checkpoint draws
//	    metrics.json                              how the run stood: the step's metrics
//	    manifest.json                             size and SHA-256 of every object, and its own; written last
//
// The state is four flat float32 vectors of equal length. Each worker writes one
// part, a contiguous slice of all four; the coordinator publishes the manifest when
// it knows all objects. The parts say themselves where they belong, so that any
// number of workers reads what any other number wrote.
//
// Invariant: without a manifest there is no checkpoint. A crash leaves at most
// objects that no manifest names, and writing the step again overwrites them.
// What a manifest names is checked when it is read; an object that is missing, cut
// short or changed is ErrCorrupt, and NewestLoadable goes on to the checkpoint
// before, telling what it skipped and why.
package checkpoint
