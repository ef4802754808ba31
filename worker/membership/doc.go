// Package membership is how a worker proves who it is: it joins by a token, in the
// way of kubeadm, gets a short-lived certificate, renews it while it lives, and
// talks to the coordinator and to other workers by it. Other workers reach it when
// they are members of its generation.
//
// A nil *Member is a worker without any of that (--insecure), on one machine.
package membership
