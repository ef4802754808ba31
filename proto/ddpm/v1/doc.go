// Package ddpmv1 is what a coordinator and its workers say to each other, generated
// from coordinator.proto by `make proto`. The protocol that the messages make up is
// told in the .proto, who says what when in packages coordinator and worker.
package ddpmv1
