// The other server of the benchmark of fleets: go-control-plane's own snapshot cache and ADS server, with the resources that syncgate
// serves, byte for byte. /change?cluster=NAME at the control address changes one load assignment.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// Every client is the same node.
type one struct{}

func (one) ID(*core.Node) string { return "fleet" }

type state struct {
	mutex       sync.Mutex
	cache       cache.SnapshotCache
	version     int
	clusters    []types.Resource
	assignments []types.Resource
}

func main() {
	listen := flag.String("listen", "", "where ADS listens")
	control := flag.String("control", "", "where changes are ordered")
	resources := flag.String("resources", "", "a file of length-delimited envoy.service.discovery.v3.Resource messages")
	flag.Parse()
	if err := run(*listen, *control, *resources); err != nil {
		log.Fatal(err)
	}
}

func run(listen, control, resources string) error {
	s := &state{cache: cache.NewSnapshotCache(true, one{}, nil)}
	if err := s.read(resources); err != nil {
		return fmt.Errorf("read %s: %w", resources, err)
	}
	if err := s.publish(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	g := grpc.NewServer(
		grpc.MaxConcurrentStreams(1000),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(context.Background(), s.cache, nil))
	http.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		if err := s.change(r.URL.Query().Get("cluster")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(control, nil) }()
	go func() { failed <- g.Serve(listener) }()
	return <-failed
}

func (s *state) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	for {
		message := &discovery.Resource{}
		err := protodelim.UnmarshalFrom(reader, message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch message.Resource.TypeUrl {
		case resource.ClusterType:
			c := &cluster.Cluster{}
			if err := proto.Unmarshal(message.Resource.Value, c); err != nil {
				return err
			}
			s.clusters = append(s.clusters, c)
		case resource.EndpointType:
			a := &endpoint.ClusterLoadAssignment{}
			if err := proto.Unmarshal(message.Resource.Value, a); err != nil {
				return err
			}
			s.assignments = append(s.assignments, a)
		}
	}
}

func (s *state) publish() error {
	s.version++
	snapshot, err := cache.NewSnapshot(strconv.Itoa(s.version), map[resource.Type][]types.Resource{
		resource.ClusterType:  s.clusters,
		resource.EndpointType: s.assignments,
	})
	if err != nil {
		return err
	}
	return s.cache.SetSnapshot(context.Background(), "fleet", snapshot)
}

// Gives the first endpoint of a cluster another port.
func (s *state) change(name string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i, r := range s.assignments {
		a := r.(*endpoint.ClusterLoadAssignment)
		if a.ClusterName != name {
			continue
		}
		a = proto.Clone(a).(*endpoint.ClusterLoadAssignment)
		socket := a.Endpoints[0].LbEndpoints[0].GetEndpoint().Address.GetSocketAddress()
		socket.PortSpecifier = &core.SocketAddress_PortValue{PortValue: uint32(10000 + s.version%10000)}
		s.assignments[i] = a
		return s.publish()
	}
	return fmt.Errorf("no cluster %q", name)
}
