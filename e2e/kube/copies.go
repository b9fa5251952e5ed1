package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// Where the server keeps its objects: its --etcd-prefix is left at the default.
	prefix = "/registry/"
	// etcd takes 128 operations and 1.5 MiB in one transaction.
	batchSize = 100
	// Enough to keep etcd busy; more only wait for each other.
	writers = 8
	// The longest line of input: 100,000 copies in one namespace.
	longestLine = 64 << 20
)

// group is one line of input: what to copy and what each copy differs in.
type group struct {
	Resource  string    `json:"resource"`
	Namespace string    `json:"namespace"`
	Like      string    `json:"like"`
	Copies    []variant `json:"copies"`
}

// variant is one copy: of a Pod its place in the network, of a custom object its spec.
type variant struct {
	Name   string          `json:"name"`
	UID    string          `json:"uid"`
	IP     string          `json:"ip"`
	Node   string          `json:"node"`
	HostIP string          `json:"hostIP"`
	Spec   json.RawMessage `json:"spec"`
}

// original is an object as it is stored; it makes copies of itself.
type original interface {
	vary(to variant) ([]byte, error)
}

// tally is a line of output; the last one says what came of it all.
type tally struct {
	Written  int64 `json:"written"`
	Existing int64 `json:"existing"`
	Bytes    int64 `json:"bytes"`
	Done     bool  `json:"done"`
}

// copier multiplies objects that the API server has stored. It reads and writes its storage, beside the running server,
// which learns of the copies as it learns of what another server of the same cluster writes. A copy is what the server
// would store, except that nothing validates what a variant says.
type copier struct {
	client                   *clientv3.Client
	written, existing, bytes atomic.Int64
}

func copyObjects(arguments []string) error {
	flags := flag.NewFlagSet("copy-objects", flag.ExitOnError)
	etcd := flags.String("etcd", "http://127.0.0.1:2379", "`URL` of the etcd that the API server stores in")
	limit := flags.Duration("limit", 10*time.Minute, "give up after this long")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), `usage: kube copy-objects [--etcd URL] [--limit DURATION] < GROUPS

Copies Pods and custom objects in etcd while the API server runs, thousands a second. Each line of standard input is a
group, in JSON:
  {"resource": "pods", "namespace": "a", "like": "web-x2x4z",
   "copies": [{"name": …, "uid": …, "ip": …, "node": …, "hostIP": …}, …]}
  {"resource": "gateway.networking.k8s.io/httproutes", "namespace": "a", "like": "web",
   "copies": [{"name": …, "uid": …, "spec": {…}}, …]}
The object "like" must exist, a Pod with its status. A copy whose name is taken is left as it is. Standard output says
every second, and at the end with "done", how many were written, how many were there, and how many bytes it was.

`)
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{*etcd}, DialTimeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("connect to etcd at %s: %w", *etcd, err)
	}
	defer client.Close()
	c := &copier{client: client}
	return c.run(ctx, os.Stdin, os.Stdout)
}

// run reads groups until the input ends. The first failure ends it.
func (c *copier) run(ctx context.Context, input io.Reader, output io.Writer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work := make(chan func(context.Context) error)
	var busy sync.WaitGroup
	for range writers {
		busy.Go(func() {
			for batch := range work {
				if err := batch(ctx); err != nil {
					fail(err)
				}
			}
		})
	}
	encoder := json.NewEncoder(output)
	ended := make(chan error, 1)
	go func() {
		err := c.read(ctx, input, work)
		close(work)
		busy.Wait()
		ended <- errors.Join(context.Cause(ctx), err)
	}()
	for ticker := time.Tick(time.Second); ; {
		select {
		case <-ticker:
			if err := encoder.Encode(c.tally(false)); err != nil {
				return err
			}
		case err := <-ended:
			if err != nil {
				return err
			}
			return encoder.Encode(c.tally(true))
		}
	}
}

func (c *copier) tally(done bool) tally {
	return tally{Written: c.written.Load(), Existing: c.existing.Load(), Bytes: c.bytes.Load(), Done: done}
}

// read hands out each group in batches.
func (c *copier) read(ctx context.Context, input io.Reader, work chan<- func(context.Context) error) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, longestLine)
	for number := 1; lines.Scan(); number++ {
		var group group
		if err := json.Unmarshal(lines.Bytes(), &group); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		original, err := c.original(ctx, group)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		for left := group.Copies; len(left) > 0; {
			batch := left[:min(batchSize, len(left))]
			left = left[len(batch):]
			select {
			case work <- func(ctx context.Context) error { return c.write(ctx, group, original, batch) }:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return lines.Err()
}

// original reads what a group copies.
func (c *copier) original(ctx context.Context, group group) (original, error) {
	key := group.key(group.Like)
	answer, err := c.client.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if len(answer.Kvs) == 0 {
		return nil, fmt.Errorf("no %s: create it through the API server first", key)
	}
	parse := parsePod
	if group.Resource != "pods" {
		parse = parseCustom
	}
	original, err := parse(answer.Kvs[0].Value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return original, nil
}

func (g *group) key(name string) string {
	return prefix + g.Resource + "/" + g.Namespace + "/" + name
}

// write stores the copies in one transaction, or one by one where some are there already.
func (c *copier) write(ctx context.Context, group group, original original, batch []variant) error {
	var absent []clientv3.Cmp
	var puts []clientv3.Op
	for _, variant := range batch {
		key := group.key(variant.Name)
		value, err := original.vary(variant)
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		absent = append(absent, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		puts = append(puts, clientv3.OpPut(key, string(value)))
	}
	if done, err := c.put(ctx, absent, puts); err != nil || done {
		return err
	}
	for i := range puts {
		done, err := c.put(ctx, absent[i:i+1], puts[i:i+1])
		if err != nil {
			return err
		}
		if !done {
			c.existing.Add(1)
		}
	}
	return nil
}

// put stores all or, unless all are absent, none.
func (c *copier) put(ctx context.Context, absent []clientv3.Cmp, puts []clientv3.Op) (bool, error) {
	answer, err := c.client.Txn(ctx).If(absent...).Then(puts...).Commit()
	if err != nil {
		return false, fmt.Errorf("write %s and %d more: %w", puts[0].KeyBytes(), len(puts)-1, err)
	}
	if answer.Succeeded {
		c.written.Add(int64(len(puts)))
		for _, put := range puts {
			c.bytes.Add(int64(len(put.ValueBytes())))
		}
	}
	return answer.Succeeded, nil
}
