"""Several Ray nodes on this machine, each with a GPU that does not exist, for `test_cluster.py`.

Prints the address of the head, then takes away the node of every number that it reads, until its input ends.
"""

import sys

from ray.cluster_utils import Cluster

EACH = {"num_cpus": 4, "num_gpus": 1, "object_store_memory": 80 * 2**20, "memory": 2 * 2**30}

cluster = Cluster(initialize_head=True, head_node_args={**EACH, "include_dashboard": False})
nodes = [cluster.head_node, *(cluster.add_node(**EACH) for _ in range(int(sys.argv[1]) - 1))]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes[int(line)], allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
