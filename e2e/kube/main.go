// Command kube is etcd, the Kubernetes API server and its controller manager in one program: the cluster without nodes
// that tests run on, and what fills it with objects.
package main

import (
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	go endWith(os.Getppid())
	// Each part reads os.Args as if it were a program of its own.
	part := os.Args[1]
	os.Args = os.Args[1:]
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "copy-objects":
		if err := copyObjects(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "kube copy-objects:", err)
			os.Exit(1)
		}
	default:
		usage()
	}
}

// endWith ends this process when its parent is gone: a test run that was killed must leave nothing behind on its addresses.
func endWith(parent int) {
	for range time.Tick(500 * time.Millisecond) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: kube etcd|kube-apiserver|kube-controller-manager|copy-objects FLAGS")
	os.Exit(2)
}
