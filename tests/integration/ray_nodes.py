"""Several Ray nodes on this machine, each with a GPU that does not exist, for `test_cluster.py`.

    ray_nodes.py COUNT CACHES

Every node decodes images into a folder of its own in CACHES, as machines with disks of their own do. Prints the address
of the head, then takes away the node of every number that it reads, until its input ends.
"""

import sys
from pathlib import Path

from ray.cluster_utils import Cluster

EACH = {"num_cpus": 4, "num_gpus": 1, "object_store_memory": 80 * 2**20, "memory": 2 * 2**30}

count, caches = int(sys.argv[1]), Path(sys.argv[2])
each = [{**EACH, "env_vars": {"RAYDD_CACHE": str(caches / str(number))}} for number in range(count)]
cluster = Cluster(initialize_head=True, head_node_args={**each[0], "include_dashboard": False})
nodes = [cluster.head_node, *(cluster.add_node(**arguments) for arguments in each[1:])]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes[int(line)], allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
