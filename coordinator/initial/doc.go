// Package initial begins runs with weights from elsewhere: a folder that Hugging
// Face diffusers has written, or a checkpoint of ours, which is one.
//
// The weights become the run's checkpoint of step 0, with zero moments and an average
// equal to them, from which the run goes on as from any other. Their digest is part
// of the run's config, since everything after depends on them.
package initial
