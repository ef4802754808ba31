// Package kube tests the chart on a real Kubernetes: everything that docs/deploy.md says
// of it, in one run's life. `make kube-test` runs it; it needs
//
//   - KUBECONFIG, of a cluster whose default StorageClass makes volumes, which it may
//     change: it makes the namespace ddpm-test and removes it;
//   - KUBE_IMAGE_LOAD, a command that is called with NAME:TAG and static binaries, makes
//     an image of them at its root, and brings it to the nodes;
//   - kubectl and helm in PATH, or other commands in KUBE_KUBECTL and KUBE_HELM;
//   - MinIO, as `make test-deps` builds it; Chromium for pictures of what is seen.
//
// With -pictures DIR it leaves screenshots there; a folder that is not absolute is one of
// this package's. KUBE_STEPS is how long the run is.
package kube
