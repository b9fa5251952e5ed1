package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// The server stores its own kinds in this encoding, and custom ones as JSON.
var codec = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

type podOriginal struct{ pod *core.Pod }

func parsePod(stored []byte) (original, error) {
	var pod core.Pod
	if _, _, err := codec.Decode(stored, nil, &pod); err != nil {
		return nil, err
	}
	if pod.Status.PodIP == "" {
		return nil, errors.New("it has no address: write its status first")
	}
	return podOriginal{&pod}, nil
}

// vary also changes what names the address: the managed fields.
func (o podOriginal) vary(to variant) ([]byte, error) {
	pod := o.pod.DeepCopy()
	pod.SetGroupVersionKind(core.SchemeGroupVersion.WithKind("Pod"))
	pod.Name, pod.UID = to.Name, types.UID(to.UID)
	pod.Spec.NodeName = to.Node
	pod.Status.HostIP, pod.Status.HostIPs = to.HostIP, []core.HostIP{{IP: to.HostIP}}
	pod.Status.PodIP, pod.Status.PodIPs = to.IP, []core.PodIP{{IP: to.IP}}
	// Somebody may have changed the original since; a copy is ready all the same.
	for i := range pod.Status.Conditions {
		pod.Status.Conditions[i].Status = core.ConditionTrue
	}
	addresses := strings.NewReplacer(quoted(o.pod.Status.PodIP), quoted(to.IP))
	for i := range pod.ManagedFields {
		if fields := pod.ManagedFields[i].FieldsV1; fields != nil {
			fields.Raw = []byte(addresses.Replace(string(fields.Raw)))
		}
	}
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].ContainerID = containerID(to.UID, i)
	}
	var value bytes.Buffer
	err := codec.Encode(pod, &value)
	return value.Bytes(), err
}

// quoted is a value as the keys of managed fields have it: JSON inside a JSON string.
func quoted(value string) string {
	return `\"` + value + `\"`
}

func containerID(uid string, container int) string {
	return fmt.Sprintf("containerd://%s%031x%x", strings.ReplaceAll(uid, "-", ""), 0, container)
}

// customOriginal is an object of a custom kind, by its fields.
type customOriginal map[string]json.RawMessage

func parseCustom(stored []byte) (original, error) {
	var fields customOriginal
	if err := json.Unmarshal(stored, &fields); err != nil {
		return nil, fmt.Errorf("it is not stored as JSON, so its kind is none that can be copied: %w", err)
	}
	return fields, nil
}

func (o customOriginal) vary(to variant) ([]byte, error) {
	var metadata map[string]any
	if err := json.Unmarshal(o["metadata"], &metadata); err != nil {
		return nil, err
	}
	metadata["name"], metadata["uid"] = to.Name, to.UID
	object := map[string]any{"apiVersion": o["apiVersion"], "kind": o["kind"], "metadata": metadata, "spec": to.Spec}
	return json.Marshal(object)
}
