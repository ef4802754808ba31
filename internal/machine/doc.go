// Package machine tells what the machine has to spare.
package machine
