// Package scale checks, on one machine, what is said of many: package stepsim's
// reckoning against measured steps of rings in network namespaces with limited links.
// It is opt-in, by DDPM_SCALE=1, and needs root, ip and tc with tbf.
package scale
