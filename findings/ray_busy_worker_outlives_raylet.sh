#!/usr/bin/env bash
# ray 2.60.0: a worker that is busy with a task goes on after its raylet was ended with SIGKILL.
#
# The node is lost to the cluster, and its process still computes, with the children that it has. A task can
# watch RAY_RAYLET_PID (os.pidfd_open) and end itself.
#
# Seen on 2026-11-30:
#   the first worker lives 10 s after its raylet ended: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet 'ray[default]==2.60.0'
cat > outlive.py <<'PY'
import os, signal, sys, time
from pathlib import Path

os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"})
import ray
from ray.cluster_utils import Cluster

folder = Path(sys.argv[1])
cluster = Cluster()
cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=80 << 20)
nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 << 20) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")


@ray.remote(num_cpus=1, max_retries=1)
def busy(folder):
    (folder / f"begun-{os.getpid()}-{os.environ['RAY_RAYLET_PID']}").touch()
    time.sleep(30)


answer = busy.remote(folder)
while not (begun := list(folder.glob("begun-*"))):
    time.sleep(0.2)
_, worker, raylet = begun[0].name.split("-")
os.kill(int(raylet), signal.SIGKILL)
time.sleep(10)
print("the first worker lives 10 s after its raylet ended:", Path(f"/proc/{worker}").exists())
sys.stdout.flush()
ray.shutdown()
cluster.shutdown()
PY
env/bin/python outlive.py "$folder" 2> log.txt | grep '^the ' | tee seen.txt
diff seen.txt - <<'SEEN'
the first worker lives 10 s after its raylet ended: True
SEEN
