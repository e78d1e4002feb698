// Runs Karmada's own scheduling algorithm in memory: its filter and score plugins, selection by spread constraints, its
// general estimator and its assignment, all as its scheduler calls them, over a fleet like that of crates/plan/benches. No
// API server, no queue and no writing: what is measured is the decision alone, as it is of Skyfleet.
//
// Prints one line: how many schedules were made, and how long they took.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	cluster "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policy "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	work "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	listers "github.com/karmada-io/karmada/pkg/generated/listers/cluster/v1alpha1"
	schedulercache "github.com/karmada-io/karmada/pkg/scheduler/cache"
	"github.com/karmada-io/karmada/pkg/scheduler/core"
	"github.com/karmada-io/karmada/pkg/scheduler/framework/plugins"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

func main() {
	models := flag.Int("models", 5000, "how many to schedule")
	clusters := flag.Int("clusters", 100, "members of the fleet")
	nodes := flag.Int("nodes", 50, "nodes of each")
	flag.Parse()
	if err := run(*models, *clusters, *nodes); err != nil {
		fmt.Fprintln(os.Stderr, "karmada-peer:", err)
		os.Exit(1)
	}
}

func run(models, clusters, nodes int) error {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for index := range clusters {
		if err := indexer.Add(member(index, nodes)); err != nil {
			return err
		}
	}
	members := schedulercache.NewCache(listers.NewClusterLister(indexer))
	scheduler, err := core.NewGenericScheduler(members, plugins.NewInTreeRegistry())
	if err != nil {
		return err
	}
	var took []time.Duration
	start, processor := time.Now(), processorSeconds()
	for index := range models {
		began := time.Now()
		spec := binding(index, clusters)
		result, err := scheduler.Schedule(context.Background(), spec, &work.ResourceBindingStatus{}, &core.ScheduleAlgorithmOption{})
		if err != nil {
			return fmt.Errorf("model %d: %w", index, err)
		}
		if placed := replicas(result); placed != spec.Replicas {
			return fmt.Errorf("model %d: %d of %d replicas placed", index, placed, spec.Replicas)
		}
		took = append(took, time.Since(began))
	}
	seconds := time.Since(start).Seconds()
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1))].Seconds() }
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"schedules": float64(models), "seconds": seconds, "processorSeconds": processorSeconds() - processor,
		"p50": at(0.5), "p99": at(0.99),
	})
}

// processorSeconds is how long this process has had a processor, its garbage collector included.
func processorSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func replicas(result core.ScheduleResult) int32 {
	var sum int32
	for _, target := range result.SuggestedClusters {
		sum += target.Replicas
	}
	return sum
}

// member is a cluster of one of four providers and twenty regions, summed up as Karmada's members report themselves.
func member(index, nodes int) *cluster.Cluster {
	var cpus, gibibytes, gpus int64
	for node := range nodes {
		cpus += 192
		gibibytes += 1536
		gpus += []int64{0, 0, 2, 8, 8}[(index+node)%5]
	}
	amount := func(of int64, unit string) resource.Quantity {
		return resource.MustParse(strconv.FormatInt(of, 10) + unit)
	}
	provider := []string{"aws", "azure", "gcp", "onPremises"}[index%4]
	return &cluster.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cluster-%03d", index), Labels: map[string]string{"provider": provider}},
		Spec:       cluster.ClusterSpec{Provider: provider, Region: fmt.Sprintf("%s-%d", provider, index/4%5)},
		Status: cluster.ClusterStatus{
			APIEnablements: []cluster.APIEnablement{{
				GroupVersion: "apps/v1", Resources: []cluster.APIResource{{Name: "deployments", Kind: "Deployment"}},
			}},
			ResourceSummary: &cluster.ResourceSummary{Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: amount(cpus, ""), corev1.ResourceMemory: amount(gibibytes, "Gi"),
				corev1.ResourcePods: amount(int64(250*nodes), ""), gpu: amount(gpus, ""),
			}},
		},
	}
}

// binding is the model of this number: the strategies and bounds of Karmada that come closest to those of the other side.
func binding(index, clusters int) *work.ResourceBindingSpec {
	return &work.ResourceBindingSpec{
		Resource: work.ObjectReference{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: fmt.Sprintf("model-%d", index),
		},
		Replicas:            int32(index%12 + 1),
		ReplicaRequirements: &work.ReplicaRequirements{ResourceRequest: requests(index)},
		Placement:           placement(index, clusters),
	}
}

func requests(index int) corev1.ResourceList {
	requests := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(250*(1+index%4)), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(int64(2+index%7)<<30, resource.BinarySI),
	}
	if gpus := map[int]int64{2: 1, 6: 1, 9: 2}[index%16]; gpus > 0 {
		requests[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return requests
}

func placement(index, clusters int) *policy.Placement {
	weighted := func(preferences *policy.ClusterPreferences) *policy.ReplicaSchedulingStrategy {
		return &policy.ReplicaSchedulingStrategy{
			ReplicaSchedulingType:     policy.ReplicaSchedulingTypeDivided,
			ReplicaDivisionPreference: policy.ReplicaDivisionPreferenceWeighted,
			WeightPreference:          preferences,
		}
	}
	placement := &policy.Placement{}
	switch index % 3 {
	case 0: // RoundRobin, Weighted
		placement.ReplicaScheduling = weighted(&policy.ClusterPreferences{StaticWeightList: []policy.StaticClusterWeight{
			{TargetCluster: policy.ClusterAffinity{}, Weight: 1},
			{TargetCluster: policy.ClusterAffinity{ClusterNames: []string{fmt.Sprintf("cluster-%03d", index%clusters)}}, Weight: 3},
		}})
	case 1: // LeastConnection, Spread
		placement.ReplicaScheduling = weighted(&policy.ClusterPreferences{DynamicWeight: policy.DynamicWeightByAvailableReplicas})
	case 2: // Binpack
		placement.ReplicaScheduling = &policy.ReplicaSchedulingStrategy{
			ReplicaSchedulingType:     policy.ReplicaSchedulingTypeDivided,
			ReplicaDivisionPreference: policy.ReplicaDivisionPreferenceAggregated,
		}
	}
	// One in four has bounds: at least two regions, or at most five clusters.
	switch index % 8 {
	case 3:
		placement.SpreadConstraints = []policy.SpreadConstraint{
			{SpreadByField: policy.SpreadByFieldRegion, MinGroups: 2, MaxGroups: 4},
			{SpreadByField: policy.SpreadByFieldCluster, MinGroups: 2, MaxGroups: 8},
		}
	case 7:
		placement.SpreadConstraints = []policy.SpreadConstraint{
			{SpreadByField: policy.SpreadByFieldCluster, MinGroups: 1, MaxGroups: 5},
		}
	}
	return placement
}
